"""Damaged and hostile images of other programs: BadImage or Refused, bounded memory, no wrong result."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tempfile
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import pytest
import zstandard
from castcore.disk import Extent
from castcore.edge.foreign.unpacked import unpacked
from castcore.errors import BadImage, Refused
from castcore.foreign import clonezilla
from castcore.foreign.assembly import assembled
from castcore.foreign.partclone import Header, read_blocks, read_header, read_in_use
from castcore.foreign.swapheader import swap_header
from castcore.units import MIB
from hypothesis import given
from hypothesis import strategies as st

from tests.support.images import noise
from tests.support.partcloneimages import HEAD_2, as_format_1, image_of

BLOCK, COUNT = 1024, 96
DEVICE = noise(BLOCK * COUNT + 512, 3)
USED = [n % 7 not in (2, 3) and not 40 <= n < 60 for n in range(COUNT)]
SUMMED = image_of(DEVICE, USED, BLOCK, strip=16)
PLAIN = image_of(DEVICE, USED, BLOCK)
OLD = as_format_1(PLAIN)
# Far more than reading needs, far less than what a hostile header asks for.
MOST_MEMORY = 24 * MIB


def read(image: bytes) -> tuple[Header, bytes]:
    """The image's device, 0xAA where it has nothing. Raises BadImage."""
    stream = io.BytesIO(image)
    header = read_header(stream.read)
    in_use = read_in_use(stream.read, header)
    device = bytearray(b"\xaa" * min(header.size, 4 * MIB))
    taken = 0
    for at, data in read_blocks(stream.read, header, in_use):
        device[at : at + len(data)] = data
        taken += len(data)
    assert taken == sum(extent.length for extent in in_use)
    return header, bytes(device[: header.size])


def expected(size: int) -> bytes:
    blocks = [DEVICE[n * BLOCK : (n + 1) * BLOCK] if USED[n] else b"\xaa" * BLOCK for n in range(COUNT)]
    return b"".join(blocks).ljust(size, b"\xaa")


@pytest.mark.parametrize("image", [SUMMED, PLAIN, OLD], ids=["summed", "plain", "0001"])
def test_a_whole_image_gives_its_device(image: bytes) -> None:
    header, device = read(image)
    assert device == expected(header.size)
    assert (header.fs, header.block_size, header.blocks) == ("EXTFS", BLOCK, COUNT)


@given(st.integers(0, len(SUMMED) - 1), st.integers(1, 255))
def test_any_flipped_byte_under_a_checksum_is_noticed(place: int, mask: int) -> None:
    damaged = bytearray(SUMMED)
    damaged[place] ^= mask
    with pytest.raises(BadImage):
        read(bytes(damaged))


@given(st.sampled_from([SUMMED, PLAIN, OLD]), st.integers(0, 1 << 20), st.binary(max_size=8))
def test_any_cut_or_lengthened_image_is_noticed(image: bytes, place: int, tail: bytes) -> None:
    changed = image[: place % len(image)] + tail
    if changed != image:
        with pytest.raises(BadImage):
            read(changed)


FIELDS = ((52, 8), (60, 8), (68, 8), (76, 8), (84, 4), (88, 4), (92, 2), (94, 2), (96, 2), (98, 2))
NUMBERS = st.one_of(
    st.integers(0, 300), st.sampled_from([1 << n for n in range(64)]), st.integers(0, (1 << 64) - 1)
)


@given(
    st.sampled_from([SUMMED, PLAIN]),
    st.lists(st.tuples(st.sampled_from((*FIELDS, (100, 4), (104, 1), (105, 1))), NUMBERS), min_size=1),
)
def test_a_header_that_lies_takes_no_memory(
    image: bytes, lies: list[tuple[tuple[int, int], int]]
) -> None:
    head = bytearray(image[: HEAD_2 - 4])
    for (place, size), value in lies:
        head[place : place + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    crc = (crc32(bytes(head)) ^ 0xFFFFFFFF).to_bytes(4, "little")
    bounded(lambda: read(bytes(head) + crc + image[HEAD_2:]))


@given(st.lists(st.tuples(st.sampled_from(((36, 4), (40, 8), (48, 8), (56, 8))), NUMBERS), min_size=1))
def test_an_old_header_that_lies_takes_no_memory(lies: list[tuple[tuple[int, int], int]]) -> None:
    damaged = bytearray(OLD)
    for (place, size), value in lies:
        damaged[place : place + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    bounded(lambda: read(bytes(damaged)))


def bounded(work: Callable[[], object]) -> None:
    tracemalloc.start()
    try:
        work()
    except BadImage:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_MEMORY


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail_otherwise(data: bytes) -> None:
    with pytest.raises(BadImage):
        read(data)
    with pytest.raises(BadImage):
        read(b"partclone-image\0" + data)


CONTENT = b"some words, again and again. " * 20_000
PACKED = {
    "gz": gzip.compress(CONTENT, mtime=0),
    "bz2": bz2.compress(CONTENT),
    "xz": lzma.compress(CONTENT),
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress(CONTENT),
}


def unpack(data: bytes, name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        with unpacked([path]) as stream:
            return b"".join(iter(lambda: stream.read(100_000), b""))


@given(st.sampled_from(sorted(PACKED)), st.integers(0, 1 << 20), st.integers(1, 255))
def test_damage_in_compressed_files_never_gives_other_bytes(kind: str, place: int, mask: int) -> None:
    data = bytearray(PACKED[kind])
    data[place % len(data)] ^= mask
    try:
        out = unpack(bytes(data), f"file.{kind}")
    except (BadImage, Refused):
        return
    # Without the mark it is not unpacked at all; what gzip's header says beside is nothing to us.
    assert out in (CONTENT, bytes(data)) or CONTENT.startswith(out)


def test_several_streams_and_padding_are_one() -> None:
    for kind, data in PACKED.items():
        assert unpack(data + data, f"file.{kind}") == CONTENT + CONTENT
    assert unpack(PACKED["xz"] + bytes(64) + PACKED["xz"], "file.xz") == CONTENT + CONTENT


def test_windows_of_gigabytes_are_refused() -> None:
    """The files ask for 4 GiB and 2 GiB to be unpacked with."""
    xz = bytearray(lzma.compress(b"x" * 100, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 4096}]))
    length = (xz[12] + 1) * 4  # the block header, whose last four bytes are its CRC-32
    assert xz[14:16] == b"\x21\x01"
    xz[16] = 40
    xz[12 + length - 4 : 12 + length] = crc32(bytes(xz[12 : 12 + length - 4])).to_bytes(4, "little")
    with pytest.raises(BadImage, match=r"[Mm]emory"):
        unpack(bytes(xz), "file.xz")
    writer = zstandard.ZstdCompressor().compressobj()
    zst = bytearray(writer.compress(b"x" * 300_000) + writer.flush())
    assert zst[4] & 0x20 == 0  # not a single segment: the window's descriptor follows
    zst[5] = (31 - 10) << 3
    with pytest.raises(BadImage, match="memory"):
        unpack(bytes(zst), "file.zst")


NAMES = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.builds(
            "sda{}.{}-img{}".format,
            st.integers(0, 3),
            st.sampled_from(["ext4-ptcl", "dd", "ntfs", "ext3", "+++", ""]),
            st.sampled_from(["", ".gz", ".gz.aa", ".gz.ab", ".aa", ".ab", ".info", ".zz", ".000"]),
        ),
    ),
    max_size=8,
    unique=True,  # a folder has no name twice
)


@given(NAMES, st.sampled_from(["sda1", "sda2", "sd(a", "sda"]))
def test_names_in_a_folder_are_put_together_or_refused(names: list[str], partition: str) -> None:
    try:
        clonezilla.require_plain(names)
        found = clonezilla.partition_files(names, partition)
    except (BadImage, Refused):
        return
    assert found is None or set(found.names) <= set(names)


PARTED = "Disk /dev/sda: {}s\nSector size (logical/physical): {}B/512B\nPartition Table: {}\n"


@given(
    st.one_of(
        st.text(max_size=80),
        st.builds(
            PARTED.format,
            st.integers(0, 1 << 80),
            st.one_of(st.sampled_from([512, 4096]), st.integers(0, 1 << 40)),
            st.sampled_from(["gpt", "msdos", "loop", "x" * 50]),
        ),
    )
)
def test_texts_in_a_folder_are_understood_or_refused(text: str) -> None:
    with suppress(BadImage):
        assert 0 <= clonezilla.parse_parted(text).size < 1 << 62
    with suppress(BadImage):
        names = clonezilla.device_names(text)
        assert all("\0" not in name and ".." not in name.split("/") for name in names)
    swap = clonezilla.parse_swap(text)
    clonezilla.has_logical(text)
    assert (swap.uuid, swap.label) == ("", "")


@given(st.text(max_size=50), st.text(max_size=50), st.integers(-5, 1 << 62))
def test_a_swap_header_is_one_page_or_refused(uuid: str, label: str, length: int) -> None:
    with suppress(BadImage):
        assert len(swap_header(uuid, label, length)) == 4096


PIECES = st.lists(st.tuples(st.integers(0, 4 * MIB), st.integers(1, 2 * MIB)), max_size=5)


@given(PIECES)
def test_pieces_out_of_order_or_place_are_refused(places: list[tuple[int, int]]) -> None:
    pieces = [(at, b"x" * length) for at, length in places]
    regions = [Extent(0, MIB), Extent(2 * MIB, MIB)]
    try:
        out = list(assembled(regions, pieces))
    except BadImage:
        return
    assert [len(content) for _, content in out] == [MIB, MIB]
    assert sum(content.count(b"x") for _, content in out) == sum(length for _, length in places)
