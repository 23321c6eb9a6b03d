"""Images written to targets: what is written, what is left alone, what is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from castcore.cast.chunkset import ChunkSet
from castcore.disk import Extent, TableType
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.image.delta import Held
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.edge.image.verify import placed_heads, verify_image, verify_targets
from castcore.errors import BadImage, DoesNotFit, NoSpace, NotFound, Untrusted
from castcore.image import CHUNK_SIZE, ChunkKind, ChunkRecord
from castcore.units import MIB

from tests.support.images import blank, flip, gpt_disk, make_image, noise, write_at

# Data, a hole inside a chunk, zeros in use, a chunk not in use, the same data again, a short tail.
SIZE = 5 * MIB + 4096
IN_USE = (Extent(0, 8192), Extent(65536, 4096), Extent(MIB, MIB), Extent(3 * MIB, 2 * MIB + 4096))
USED = sum(e.length for e in IN_USE)
OLD = b"\xaa"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    raw = blank(tmp_path / "source.raw", SIZE)
    write_at(raw, 0, noise(MIB, 1))
    write_at(raw, 2 * MIB, noise(MIB, 2))
    write_at(raw, 3 * MIB, b"text " * 100_000)
    write_at(raw, 4 * MIB, b"text " * 100_000)
    write_at(raw, 5 * MIB, noise(4096, 3))
    return raw


@pytest.fixture
def image(source: Path, tmp_path: Path) -> Iterator[Image]:
    with Image.open(make_image(tmp_path, "small", source, IN_USE)) as opened:
        yield opened


@pytest.fixture
def target(tmp_path: Path) -> Iterator[BlockFile]:
    path = tmp_path / "target.raw"
    path.write_bytes(OLD * (SIZE + MIB))
    with BlockFile.open_target(path) as opened:
        yield opened


def sink_of(image: Image, target: BlockFile) -> DiskSink:
    return DiskSink(image.manifest, image.index, [target])


def test_capture_takes_only_what_is_in_use(image: Image) -> None:
    records = image.index.records
    assert [r.offset // MIB for r in records] == [0, 1, 3, 4, 5]
    assert [r.kind for r in records] == [ChunkKind.DATA, ChunkKind.ZERO, *[ChunkKind.DATA] * 3]
    assert image.content(0)[8192:65536] == bytes(65536 - 8192)
    assert image.manifest.used == USED


def test_equal_chunks_share_stored_bytes(image: Image) -> None:
    first, second = image.index.records[2:4]
    assert (first.pack, first.pack_offset, first.stored) == (
        second.pack,
        second.pack_offset,
        second.stored,
    )
    assert image.manifest.stored == sum(image.stored_lengths()) - second.stored


def test_restore_writes_what_is_in_use_and_touches_no_hole(
    image: Image, source: Path, target: BlockFile
) -> None:
    done = restore(image, [target], verify=True)
    assert (done.written, done.chunks, done.verified) == (USED, 5, True)
    assert done.root == image.manifest.index_digest
    expected = bytearray(OLD * (SIZE + MIB))
    whole = source.read_bytes()
    for extent in IN_USE:
        expected[extent.start : extent.end] = whole[extent.start : extent.end]
    assert Path(target.path).read_bytes() == bytes(expected)


def test_the_first_chunk_comes_last(image: Image, target: BlockFile) -> None:
    sink = sink_of(image, target)
    sink.write_zeros()
    for chunk in image.index.chunks_of_kind(ChunkKind.DATA):
        sink.put(chunk, image.read_stored(chunk))
    assert target.read(0, 8192) == bytes(8192)
    assert target.read(8192, 512) == OLD * 512
    sink.finish()
    assert target.read(0, 8192) == noise(MIB, 1)[:8192]


def test_an_incomplete_restore_is_not_finished(image: Image, target: BlockFile) -> None:
    sink = sink_of(image, target)
    sink.write_zeros()
    sink.put(0, image.read_stored(0))
    sink.put(3, image.read_stored(3))
    with pytest.raises(BadImage, match="2 of 5 chunks of small never came, the first is chunk 2"):
        sink.finish()
    assert sink.missing() == [2, 4]
    assert target.read(0, 512) == bytes(512)


def test_put_again_writes_nothing(image: Image, target: BlockFile) -> None:
    sink = sink_of(image, target)
    assert sink.put(4, image.read_stored(4)) == 4096
    target.write(5 * MIB, OLD * 4096)
    assert sink.put(4, image.read_stored(4)) == 0
    assert target.read(5 * MIB, 4096) == OLD * 4096
    assert sink.written == 4096


@pytest.mark.parametrize("chunk", [0, 2, 4])
def test_wrong_bytes_are_refused_and_nothing_is_written(
    image: Image, target: BlockFile, chunk: int
) -> None:
    sink, stored = sink_of(image, target), bytearray(image.read_stored(chunk))
    stored[len(stored) // 2] ^= 1
    with pytest.raises(Untrusted, match=f"chunk {chunk} "):
        sink.put(chunk, bytes(stored))
    assert chunk in sink.missing()
    assert Path(target.path).read_bytes() == OLD * (SIZE + MIB)


@pytest.mark.parametrize("offset", [0, 65536, MIB + 17, 5 * MIB + 4095])
def test_verify_finds_one_wrong_byte(image: Image, target: BlockFile, offset: int) -> None:
    sink = sink_of(image, target)
    sink.write_zeros()
    for chunk in image.index.chunks_of_kind(ChunkKind.DATA):
        sink.put(chunk, image.read_stored(chunk))
    sink.finish()
    assert sink.verify().chunks == 5
    flip(Path(target.path), offset)
    with pytest.raises(Untrusted, match=f"bytes {offset // MIB * MIB}-"):
        sink.verify()


def test_a_restore_that_is_not_proven_leaves_no_table(
    image: Image, target: BlockFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = DiskSink.finish

    def finish_on_a_bad_disk(sink: DiskSink) -> None:
        finish(sink)
        flip(Path(target.path), 65536)

    with monkeypatch.context() as patch:
        patch.setattr(DiskSink, "finish", finish_on_a_bad_disk)
        with pytest.raises(Untrusted, match="bytes 0-"):
            restore(image, [target], verify=True)
    assert target.read(0, 8192) == bytes(8192)
    assert target.read(MIB, MIB) == bytes(MIB)
    restore(image, [target])
    flip(Path(target.path), 65536)
    with pytest.raises(Untrusted):
        restore(
            image, [target], held=Held(ChunkSet.none(len(image.index)), whole=True, read=0), verify=True
        )
    assert target.read(0, 512) == noise(MIB, 1)[:512], "it wrote nothing"


def test_verify_masks_holes(image: Image, target: BlockFile) -> None:
    restore(image, [target])
    flip(Path(target.path), 8192)
    flip(Path(target.path), 2 * MIB)
    heads = placed_heads(image, [target])
    assert verify_targets(image.manifest, image.index, [target], heads).chunks == 5


def test_a_flipped_byte_of_a_pack_is_named(image: Image, target: BlockFile) -> None:
    record: ChunkRecord = image.index.records[4]
    flip(image.path / "pack-0000", record.pack_offset + 5)
    says = f"pack-0000 is damaged at byte {record.pack_offset}: chunk 4 "
    with pytest.raises(BadImage, match=says):
        verify_image(image)
    with pytest.raises(BadImage, match=says):
        restore(image, [target])
    assert target.read(0, 512) == bytes(512)  # and it has no partition table


def test_verify_counts_all_damage(image: Image) -> None:
    flip(image.path / "pack-0000", image.index.records[2].pack_offset + 20)
    with pytest.raises(BadImage, match=r"chunk 2 .*\(2 chunks are damaged\)"):
        verify_image(image)


def test_a_pack_cut_short_or_missing_is_noticed_at_once(image: Image) -> None:
    pack = image.path / "pack-0000"
    with pack.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(BadImage, match=r"pack-0000 is damaged: it has 1000 bytes instead of"):
        Image.open(image.path)
    with pytest.raises(BadImage, match="pack ends inside"):
        image.content(4)
    pack.unlink()
    with pytest.raises(BadImage, match="pack-0000 is missing"):
        Image.open(image.path)


def test_no_such_image(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such image"):
        Image.open(tmp_path / "none.fcast")


def test_a_target_too_small_is_refused_with_both_figures(image: Image, tmp_path: Path) -> None:
    with (
        BlockFile.open_target(blank(tmp_path / "t.raw", SIZE - 512)) as small,
        pytest.raises(DoesNotFit, match=rf"{SIZE} bytes.*{SIZE - 512} bytes"),
    ):
        sink_of(image, small)
    with pytest.raises(DoesNotFit, match="1 disks; 0 were given"):
        DiskSink(image.manifest, image.index, [])


@pytest.mark.parametrize("target_size", [4 * MIB, 7 * MIB + 512, 2 * MIB + 64 * 1024])
def test_gpt_backup_moves_to_the_real_end(tmp_path: Path, target_size: int) -> None:
    raw = tmp_path / "gpt.raw"
    partition, in_use = gpt_disk(raw, 4 * MIB)
    path = make_image(tmp_path, "gpt", raw, in_use, table=TableType.GPT, partitions=(partition,))
    other = tmp_path / "other.raw"
    gpt_disk(other, target_size)  # the same disk, had it been made there
    with ExitStack() as stack:
        image = stack.enter_context(Image.open(path))
        target = stack.enter_context(BlockFile.open_target(blank(tmp_path / "t.raw", target_size)))
        restore(image, [target], verify=True)
        assert Path(target.path).read_bytes() == other.read_bytes()
        flip(Path(target.path), target_size - 512 + 16)  # its checksum
        with pytest.raises(Untrusted, match="backup partition table"):
            verify_targets(image.manifest, image.index, [target], placed_heads(image, [target]))


def test_a_region_reads_with_its_holes_as_zeros(image: Image) -> None:
    content = image.content(0)
    assert len(content) == CHUNK_SIZE
    assert bytes(content[65536:69632]) == noise(MIB, 1)[65536:69632]
    assert bytes(content[69632:]) == bytes(CHUNK_SIZE - 69632)


@pytest.mark.parametrize("target_size", [6 * MIB, 6 * MIB + 4096, 8 * MIB])
def test_a_disk_taken_whole_keeps_its_bytes_and_gets_a_backup_behind_them(
    tmp_path: Path, target_size: int
) -> None:
    raw = tmp_path / "grown.raw"
    partition, _ = gpt_disk(raw, 4 * MIB)
    with raw.open("r+b") as file:
        file.truncate(6 * MIB)  # a virtual disk made larger: its backup is not at the end
    write_at(raw, 6 * MIB - 4096, noise(4096, 8))
    whole = (Extent(0, 6 * MIB),)
    path = make_image(tmp_path, "whole", raw, whole, table=TableType.GPT, partitions=(partition,))
    with (
        Image.open(path) as image,
        BlockFile.open_target(blank(tmp_path / "t.raw", target_size)) as target,
    ):
        restore(image, [target], verify=True)
        assert verify_targets(image.manifest, image.index, [target], placed_heads(image, [target]))
        moved = target_size >= 6 * MIB + 33 * 512
        assert target.read(1024, 6 * MIB - 1024) == raw.read_bytes()[1024:]
        assert (target.read(0, 1024) == raw.read_bytes()[:1024]) is not moved
        assert (target.read(target_size - 512, 8) == b"EFI PART") is moved


def test_an_index_without_room_is_refused_before_anything_is_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("castcore.edge.image.capture.free_space", lambda _: 100)
    with pytest.raises(NoSpace, match="100 B free; the image's index alone needs 384 B"):
        make_image(tmp_path, "none", source, IN_USE)
    assert not list(tmp_path.glob("*none*"))
