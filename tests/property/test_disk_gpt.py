"""Relocated GUID partition tables, for any table, sector size and disk size."""

from __future__ import annotations

import struct
from uuid import UUID
from zlib import crc32

import pytest
from castcore.disk import Write, relocated_backup
from castcore.disk.gpt import parse_gpt, table_length
from castcore.errors import BadImage, DoesNotFit
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le


def protective(sectors: int) -> bytes:
    record = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff" * 3, 1, min(sectors - 1, 0xFFFFFFFF))
    return bytes(446) + record + bytes(48) + b"\x55\xaa"


def primary_table(
    *, sector: int, sectors: int, count: int, entry_size: int, parts: list[tuple[int, int]]
) -> bytes:
    """The front of a disk of ``sectors`` sectors with ``parts`` (first, last sector)."""
    entries = bytearray(count * entry_size)
    for i, (first, last) in enumerate(parts):
        unique = (i + 1).to_bytes(16, "little")
        name = f"p{i}".encode("utf-16-le")
        struct.pack_into("<16s16sQQQ72s", entries, i * entry_size, LINUX, unique, first, last, 0, name)
    entry_sectors = -(-len(entries) // sector)
    fields = [b"EFI PART", 0x10000, 92, 0, 0, 1, sectors - 1, 2 + entry_sectors]
    fields += [sectors - 2 - entry_sectors, b"D" * 16, 2, count, entry_size, crc32(entries)]
    header = struct.pack("<8sIIIIQQQQ16sQIII", *fields)
    fields[3] = crc32(header)
    header = struct.pack("<8sIIIIQQQQ16sQIII", *fields)
    front = protective(sectors).ljust(sector, b"\0") + header.ljust(sector, b"\0")
    return front + bytes(entries).ljust(entry_sectors * sector, b"\0")


@st.composite
def tables(draw: DrawFn) -> tuple[bytes, int, int, int]:
    """A table, its sector size, the sectors of its disk and the end of its last partition."""
    sector = draw(st.sampled_from((512, 4096)))
    entry_size = draw(st.sampled_from((128, 256)))
    count = draw(st.integers(1, 200))
    sectors = draw(st.integers(2000, 1 << 33))
    first = 2 + -(-count * entry_size // sector)
    last_usable = sectors - 2 - -(-count * entry_size // sector)
    ends = sorted(draw(st.sets(st.integers(first, last_usable), max_size=2 * min(count, 4))))
    parts = list(zip(ends[::2], ends[1::2], strict=False))
    data = primary_table(sector=sector, sectors=sectors, count=count, entry_size=entry_size, parts=parts)
    return data, sector, sectors, parts[-1][1] + 1 if parts else first


def applied(front: bytes, writes: tuple[Write, ...]) -> bytes:
    out = bytearray(front)
    for write in writes:
        if write.offset < len(front):
            out[write.offset : write.offset + len(write.data)] = write.data
    return bytes(out)


@given(tables(), st.integers(0, 1 << 33))
def test_the_twin_is_at_the_real_end(table: tuple[bytes, int, int, int], more: int) -> None:
    front, sector, sectors, _ = table
    new = sectors + more
    writes = relocated_backup(front, sector, new * sector + 100)
    old, moved = parse_gpt(front, sector), parse_gpt(applied(front, writes), sector)
    assert moved.entries == old.entries
    assert moved.header.alternate_lba == new - 1
    entries, header = writes[-2:]
    assert header.offset == (new - 1) * sector
    assert len(header.data) == sector
    # The backup reads as a primary table does once the header's two places are exchanged.
    twin = struct.unpack_from("<8sIIIIQQQQ16sQIII", header.data)
    assert twin[5:7] == (new - 1, 1)
    assert twin[10] * sector == entries.offset
    assert twin[7:9] == (moved.header.first_usable, moved.header.last_usable)
    assert crc32(entries.data[: twin[11] * twin[12]]) == twin[13]
    assert crc32(header.data[:16] + bytes(4) + header.data[20:92]) == twin[3]
    assert moved.header.last_usable < twin[10]
    assert entries.offset + len(entries.data) == header.offset


@given(tables())
def test_the_same_size_changes_nothing_at_the_front(table: tuple[bytes, int, int, int]) -> None:
    front, sector, sectors, _ = table
    assert applied(front, relocated_backup(front, sector, sectors * sector)) == front


@given(tables())
def test_a_smaller_disk_is_refused_only_when_a_partition_is_in_the_way(
    table: tuple[bytes, int, int, int],
) -> None:
    front, sector, _, end = table
    room = -(-(len(parse_gpt(front, sector).raw_entries)) // sector) + 1
    writes = relocated_backup(front, sector, (end + room) * sector)
    assert writes[-2].offset == end * sector
    with pytest.raises(DoesNotFit, match="bytes"):
        relocated_backup(front, sector, (end + room) * sector - 1)


@given(tables(), st.data())
def test_no_flipped_bit_passes(table: tuple[bytes, int, int, int], data: st.DataObject) -> None:
    front, sector, sectors, _ = table
    length = table_length(front, sector)
    header, entries = range(sector, sector + 92), range(2 * sector, length)
    at = data.draw(st.sampled_from(header) | st.sampled_from(entries))
    bad = bytearray(front)
    bad[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BadImage, match="partition table"):
        relocated_backup(bytes(bad), sector, sectors * sector)


@given(st.binary(max_size=2048), st.sampled_from((512, 4096)), st.booleans())
def test_garbage_is_a_bad_image(garbage: bytes, sector: int, signed: bool) -> None:
    front = bytes(sector) + b"EFI PART" + garbage if signed else garbage
    with pytest.raises(BadImage):
        relocated_backup(front, sector, 1 << 30)


@given(tables(), st.data())
def test_a_cut_table_is_a_bad_image(table: tuple[bytes, int, int, int], data: st.DataObject) -> None:
    front, sector, sectors, _ = table
    cut = data.draw(st.integers(0, table_length(front, sector) - 1))
    with pytest.raises(BadImage):
        relocated_backup(front[:cut], sector, sectors * sector)
