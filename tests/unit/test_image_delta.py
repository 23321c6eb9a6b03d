"""Restores over what is there already: only what differs is written, and what was cut off goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from castcore.cast.chunkset import ChunkSet
from castcore.disk import DiskFacts, Extent, TableType
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image import restore as restoring
from castcore.edge.image.delta import compare, missing_data
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.edge.image.restorerecord import RestoreRecord
from castcore.errors import DiskFailed
from castcore.image import ChunkKind
from castcore.units import MIB

from tests.support.images import blank, flip, gpt_disk, make_image, noise, write_at

COUNT = 12
SIZE = COUNT * MIB
ZERO = 5


@pytest.fixture
def source(tmp_path: Path) -> Path:
    raw = blank(tmp_path / "source.raw", SIZE)
    write_at(raw, 0, noise(SIZE, 1))
    write_at(raw, ZERO * MIB, bytes(MIB))
    return raw


@pytest.fixture
def image(source: Path, tmp_path: Path) -> Iterator[Image]:
    with Image.open(make_image(tmp_path, "delta", source, (Extent(0, SIZE),))) as opened:
        yield opened


@pytest.fixture
def target(tmp_path: Path) -> Iterator[BlockFile]:
    path = tmp_path / "target.raw"
    path.write_bytes(b"\xaa" * SIZE)
    with BlockFile.open_target(path) as opened:
        yield opened


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Every (offset, length) that is written or zeroed from now on."""
    seen: list[tuple[int, int]] = []
    write, zero = BlockFile.write, BlockFile.zero

    def watched_write(disk: BlockFile, offset: int, data: bytes | memoryview) -> None:
        seen.append((offset, len(data)))
        write(disk, offset, data)

    def watched_zero(disk: BlockFile, offset: int, length: int) -> None:
        seen.append((offset, length))
        zero(disk, offset, length)

    monkeypatch.setattr(BlockFile, "write", watched_write)
    monkeypatch.setattr(BlockFile, "zero", watched_zero)
    return seen


def test_nothing_is_written_over_an_equal_disk(
    image: Image, target: BlockFile, writes: list[tuple[int, int]]
) -> None:
    restore(image, [target])
    writes.clear()
    held = compare(image, [target])
    assert held.whole
    assert held.read == SIZE
    done = restore(image, [target], held=held)
    assert (done.written, done.kept, writes) == (0, COUNT - 1, [])


@pytest.mark.parametrize("chunk", [1, ZERO, COUNT - 1])
def test_only_what_differs_is_written_and_the_head_last(
    image: Image, source: Path, target: BlockFile, writes: list[tuple[int, int]], chunk: int
) -> None:
    restore(image, [target])
    flip(Path(target.path), chunk * MIB + 77)
    writes.clear()
    held = compare(image, [target])
    assert not held.whole
    assert missing_data(image, held.chunks) == sorted({0, chunk} - {ZERO})
    done = restore(image, [target], held=held, verify=True)
    assert done.written == 2 * MIB
    assert [offset for offset, _ in writes] == [0, chunk * MIB, 0]
    assert Path(target.path).read_bytes() == source.read_bytes()


def test_another_head_alone_is_written(image: Image, source: Path, target: BlockFile) -> None:
    restore(image, [target])
    flip(Path(target.path), 0)
    held = compare(image, [target])
    assert (held.whole, len(held.chunks)) == (False, COUNT - 1)
    assert restore(image, [target], held=held).written == MIB
    assert Path(target.path).read_bytes() == source.read_bytes()


def test_a_spoilt_backup_table_is_written_again(tmp_path: Path) -> None:
    raw = tmp_path / "gpt.raw"
    partition, in_use = gpt_disk(raw, 4 * MIB)
    path = make_image(tmp_path, "gpt", raw, in_use, table=TableType.GPT, partitions=(partition,))
    with (
        Image.open(path) as image,
        BlockFile.open_target(blank(tmp_path / "t.raw", 6 * MIB)) as target,
    ):
        restore(image, [target])
        assert compare(image, [target]).whole
        flip(Path(target.path), 6 * MIB - 512)
        held = compare(image, [target])
        assert not held.whole
        restore(image, [target], held=held, verify=True)
        assert compare(image, [target]).whole


class Cut(Exception):
    """The power went."""


def cut_after(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the restores from now on end in the middle of a write, after ``count`` of them."""
    write, left = BlockFile.write, [count]

    def failing(disk: BlockFile, offset: int, data: bytes | memoryview) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Cut
        write(disk, offset, data)

    monkeypatch.setattr(BlockFile, "write", failing)


def record_of(image: Image, target: BlockFile, folder: Path) -> RestoreRecord:
    facts = DiskFacts(target.path, "serial-1", target.size, 512)
    return RestoreRecord(folder, image.manifest.index_digest, [facts])


@pytest.mark.parametrize("writes_done", [1, 4, 9, COUNT - 2])
def test_a_cut_restore_goes_on_where_it_was(
    image: Image,
    source: Path,
    target: BlockFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writes_done: int,
) -> None:
    record = record_of(image, target, tmp_path / "records")
    monkeypatch.setattr(restoring, "KEEP_SECONDS", 0.0)
    with monkeypatch.context() as patched:
        cut_after(patched, writes_done)
        with pytest.raises(Cut):
            restore(image, [target], record=record)
    assert target.read(0, 512) == bytes(512)  # nobody takes it for whole
    claimed = record.load(len(image.index))
    assert claimed is not None
    held = compare(image, [target], claimed=claimed)
    assert not held.whole
    assert held.chunks == claimed - ChunkSet.numbered(COUNT, [0])
    restore(image, [target], held=held, record=record, verify=True)
    assert Path(target.path).read_bytes() == source.read_bytes()
    assert record.load(len(image.index)) is None


def test_what_a_record_claims_is_read_before_it_is_believed(image: Image, target: BlockFile) -> None:
    restore(image, [target])
    flip(Path(target.path), 3 * MIB)
    held = compare(image, [target], claimed=ChunkSet.numbered(COUNT, [2, 3, 4]))
    assert held.chunks == ChunkSet.numbered(COUNT, [2, 4])
    assert held.read == 3 * MIB


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"held":"zz"}', None])
def test_a_damaged_record_is_none(
    image: Image, target: BlockFile, tmp_path: Path, damage: bytes | None
) -> None:
    record = record_of(image, target, tmp_path)
    record.save(ChunkSet.numbered(COUNT, [2]))
    assert record.load(COUNT) == ChunkSet.numbered(COUNT, [2])
    (file,) = tmp_path.glob("*.json")
    if damage is None:  # of another image
        file.write_text(json.dumps(json.loads(file.read_text()) | {"image": "00" * 32}))
    else:
        file.write_bytes(damage)
    assert record.load(COUNT) is None


def test_what_cannot_be_read_is_written_again(
    image: Image, source: Path, target: BlockFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(image, [target])
    read_into = BlockFile.read_into

    def failing(disk: BlockFile, offset: int, view: memoryview) -> None:
        if offset == 7 * MIB and disk is target:
            raise DiskFailed(f"{disk.path}: cannot read at byte {offset}")
        read_into(disk, offset, view)

    with monkeypatch.context() as patched:
        patched.setattr(BlockFile, "read_into", failing)
        held = compare(image, [target])
    assert missing_data(image, held.chunks) == [0, 7]
    assert restore(image, [target], held=held).written == 2 * MIB


def test_discard_frees_what_is_not_in_use_and_nothing_else(source: Path, tmp_path: Path) -> None:
    in_use = (Extent(0, MIB), Extent(3 * MIB, MIB + 4096))
    path = tmp_path / "target.raw"
    path.write_bytes(b"\xaa" * SIZE)
    with (
        Image.open(make_image(tmp_path, "some", source, in_use)) as image,
        BlockFile.open_target(path) as target,
    ):
        assert len(image.index.chunks_of_kind(ChunkKind.DATA)) == 3
        restore(image, [target], discard=True, verify=True)
    got = path.read_bytes()
    assert got[MIB : 3 * MIB] == bytes(2 * MIB)
    assert got[5 * MIB :] == bytes(SIZE - 5 * MIB)
    assert got[4 * MIB + 4096 : 5 * MIB] == b"\xaa" * (MIB - 4096)  # smaller than a command is worth
