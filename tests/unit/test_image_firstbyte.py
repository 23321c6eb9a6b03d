"""When a disk loses what it had: with the first byte of data, all disks of a machine together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from castcore.cast.chunkset import ChunkSet
from castcore.disk import Extent
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.image.capture import capture
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.errors import DiskFailed
from castcore.image import ChunkKind, head_chunks
from castcore.units import MIB

from tests.support.images import blank, make_image, noise, write_at

SIZES = (4 * MIB, 6 * MIB)
OLD = b"\xaa"
ZEROS_AT = 2 * MIB  # of the first disk: in use, and zeros


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    """An image of two raw disks, all in use."""
    raws = [blank(tmp_path / f"source-{number}.raw", size) for number, size in enumerate(SIZES)]
    for number, (raw, size) in enumerate(zip(raws, SIZES, strict=True)):
        write_at(raw, 0, noise(size, number))
    write_at(raws[0], ZEROS_AT, bytes(MIB))
    capture(raws[0], tmp_path / "pair.fcast", more=raws[1:])
    with Image.open(tmp_path / "pair.fcast") as opened:
        yield opened


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[list[BlockFile]]:
    with ExitStack() as stack:
        opened = []
        for number, size in enumerate(SIZES):
            path = tmp_path / f"target-{number}.raw"
            path.write_bytes(OLD * (size + MIB))
            opened.append(stack.enter_context(BlockFile.open_target(path)))
        yield opened


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """What is done to a disk from now on: (what, which disk, offset)."""
    seen: list[tuple[str, str, int]] = []
    write, zero, flush = BlockFile.write, BlockFile.zero, BlockFile.flush

    def name(disk: BlockFile) -> str:
        return Path(disk.path).stem[-1]

    def watched_write(disk: BlockFile, offset: int, data: bytes | memoryview) -> None:
        seen.append(("write", name(disk), offset))
        write(disk, offset, data)

    def watched_zero(disk: BlockFile, offset: int, length: int) -> None:
        seen.append(("zero", name(disk), offset))
        zero(disk, offset, length)

    def watched_flush(disk: BlockFile) -> None:
        seen.append(("flush", name(disk), 0))
        flush(disk)

    monkeypatch.setattr(BlockFile, "write", watched_write)
    monkeypatch.setattr(BlockFile, "zero", watched_zero)
    monkeypatch.setattr(BlockFile, "flush", watched_flush)
    return seen


CLEARED = [("zero", "0", 0), ("zero", "1", 0), ("flush", "0", 0), ("flush", "1", 0)]


def sink_of(image: Image, targets: list[BlockFile]) -> DiskSink:
    return DiskSink(image.manifest, image.index, targets)


def bodies(image: Image) -> list[int]:
    """The chunks that travel and are no disk's first."""
    heads = head_chunks(image.manifest)
    return [c for c in image.index.chunks_of_kind(ChunkKind.DATA) if c not in heads]


def test_what_waits_for_data_leaves_the_disks_as_they_were(
    image: Image, targets: list[BlockFile]
) -> None:
    sink = sink_of(image, targets)
    sink.adopt(ChunkSet.numbered(len(image.index), bodies(image)[:2]))
    sink.durable()
    sink.flush()
    for chunk in head_chunks(image.manifest):  # held back
        sink.put(chunk, image.read_stored(chunk))
    assert sink.untouched
    for target, size in zip(targets, SIZES, strict=True):
        assert Path(target.path).read_bytes() == OLD * (size + MIB)


def test_no_disk_boots_from_the_first_byte_on(
    image: Image, targets: list[BlockFile], steps: list[tuple[str, str, int]]
) -> None:
    sink = sink_of(image, targets)
    last = bodies(image)[-1]
    sink.put(last, image.read_stored(last))
    assert steps == [*CLEARED, ("write", "1", image.index.records[last].offset)]
    assert not sink.untouched
    steps.clear()
    first = bodies(image)[0]
    sink.put(first, image.read_stored(first))
    assert steps == [("write", "0", image.index.records[first].offset)], "they are cleared once"


def test_zeros_count_as_data(
    image: Image, targets: list[BlockFile], steps: list[tuple[str, str, int]]
) -> None:
    sink_of(image, targets).write_zeros()
    assert steps == [*CLEARED, ("zero", "0", ZEROS_AT)]


def test_a_restore_clears_before_it_discards(
    image: Image,
    targets: list[BlockFile],
    steps: list[tuple[str, str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def watched_discard(disk: BlockFile, offset: int, _length: int) -> bool:
        steps.append(("discard", Path(disk.path).stem[-1], offset))
        return False

    monkeypatch.setattr(BlockFile, "discard", watched_discard)
    restore(image, targets, discard=True, verify=True)
    assert steps[: len(CLEARED)] == CLEARED
    assert ("discard", "0", SIZES[0]) in steps


def test_disks_that_hold_it_all_are_without_a_table_until_theirs_is_whole(
    image: Image, targets: list[BlockFile], steps: list[tuple[str, str, int]]
) -> None:
    restore(image, targets)
    steps.clear()
    sink, heads = sink_of(image, targets), head_chunks(image.manifest)
    sink.adopt(
        ChunkSet.numbered(len(image.index), [c for c in range(len(image.index)) if c not in heads])
    )
    for chunk in heads:
        sink.put(chunk, image.read_stored(chunk))
    assert steps == []
    sink.finish()
    assert steps[: len(CLEARED)] == CLEARED
    assert sink.verify().chunks == len(image.index)


def test_an_image_whose_first_region_is_zeros_is_finished(tmp_path: Path) -> None:
    raw = blank(tmp_path / "source.raw", 3 * MIB)
    write_at(raw, MIB, noise(MIB, 1))
    path = make_image(tmp_path, "headless", raw, (Extent(0, 3 * MIB),))
    with Image.open(path) as image, BlockFile.open_target(tmp_path / "source.raw") as target:
        target.write(0, OLD * MIB)
        sink = sink_of(image, [target])
        for chunk in image.index.chunks_of_kind(ChunkKind.DATA):
            sink.put(chunk, image.read_stored(chunk))
        sink.write_zeros()
        sink.finish()
        assert sink.verify().chunks == 3


def test_no_thread_writes_before_the_heads_are_cleared(
    image: Image, targets: list[BlockFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    zero, write = BlockFile.zero, BlockFile.write
    clearing, go_on, early = threading.Event(), threading.Event(), threading.Event()

    def slow_zero(disk: BlockFile, offset: int, length: int) -> None:
        clearing.set()
        assert go_on.wait(20)
        zero(disk, offset, length)

    def watched_write(disk: BlockFile, offset: int, data: bytes | memoryview) -> None:
        if not go_on.is_set():
            early.set()
        write(disk, offset, data)

    monkeypatch.setattr(BlockFile, "zero", slow_zero)
    monkeypatch.setattr(BlockFile, "write", watched_write)
    sink, chunks = sink_of(image, targets), bodies(image)
    with ThreadPoolExecutor(4) as pool:
        putting = [pool.submit(sink.put, chunk, image.read_stored(chunk)) for chunk in chunks]
        assert clearing.wait(20)
        assert not early.wait(0.2)
        go_on.set()
        assert all(put.result() == MIB for put in putting)
    assert not early.is_set()


def test_a_disk_that_cannot_be_cleared_fails_and_nothing_more_is_written(
    image: Image, targets: list[BlockFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(disk: BlockFile, offset: int, _length: int) -> None:
        raise DiskFailed(f"{disk.path}: cannot zero at byte {offset}: Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(BlockFile, "zero", broken)
        sink = sink_of(image, targets)
        with pytest.raises(DiskFailed, match="cannot zero at byte 0: Input/output error"):
            sink.put(bodies(image)[0], image.read_stored(bodies(image)[0]))
    assert not sink.untouched, "who knows what the disk did"
    for chunk in bodies(image):
        with pytest.raises(DiskFailed, match="cannot zero at byte 0"):
            sink.put(chunk, image.read_stored(chunk))
    for target, size in zip(targets, SIZES, strict=True):
        assert Path(target.path).read_bytes() == OLD * (size + MIB)
