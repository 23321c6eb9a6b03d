"""What a disk holds of an image already: found by reading it, claimed by others, adopted by a sink."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from castcore.cast.chunkset import ChunkSet
from castcore.disk import Extent
from castcore.edge.disk import heldchunks
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.disk.heldchunks import believed_chunks, held_chunks
from castcore.edge.disk.regionread import read_run
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.errors import BadImage, DiskFailed
from castcore.image import ChunkKind, Index, UsedBytes
from castcore.units import MIB

from tests.support.images import blank, flip, make_image, noise, write_at

COUNT = 12
SIZE = COUNT * MIB


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    raw = blank(tmp_path / "source.raw", SIZE)
    for chunk in range(COUNT):
        if chunk != 5:  # zeros, which never travel
            write_at(raw, chunk * MIB, noise(MIB, chunk))
    with Image.open(make_image(tmp_path, "held", raw, (Extent(0, SIZE),))) as opened:
        yield opened


@pytest.fixture
def target(tmp_path: Path) -> Iterator[BlockFile]:
    with BlockFile.open_target(blank(tmp_path / "target.raw", SIZE)) as opened:
        yield opened


def numbers(chunks: ChunkSet) -> list[int]:
    return np.flatnonzero(chunks.mask()).tolist()


EVERY = [c for c in range(1, COUNT) if c != 5]


def test_a_restored_disk_holds_all_but_its_first_chunk(image: Image, target: BlockFile) -> None:
    assert numbers(held_chunks(image.manifest, image.index, [target])) == []
    restore(image, [target])
    assert numbers(held_chunks(image.manifest, image.index, [target])) == EVERY
    flip(Path(target.path), 3 * MIB + 7)
    flip(Path(target.path), 12 * MIB - 1)
    held = held_chunks(image.manifest, image.index, [target])
    assert numbers(held) == [c for c in EVERY if c not in (3, 11)]


def test_an_update_writes_only_what_differs_and_ends_proven(image: Image, target: BlockFile) -> None:
    restore(image, [target])
    for chunk in (2, 5, 9):
        flip(Path(target.path), chunk * MIB + 100)
    held = held_chunks(image.manifest, image.index, [target])
    sink = DiskSink(image.manifest, image.index, [target])
    sink.adopt(held)
    sink.write_zeros()
    assert sink.missing() == [0, 2, 9]
    for chunk in sink.missing():
        sink.put(chunk, image.read_stored(chunk))
    sink.finish()
    assert sink.verify().chunks == COUNT


def test_a_sink_never_takes_a_first_chunk_for_held(image: Image, target: BlockFile) -> None:
    sink = DiskSink(image.manifest, image.index, [target])
    sink.adopt(ChunkSet.numbered(COUNT, range(COUNT)))
    assert sink.missing() == [0]


def test_durable_is_what_was_put_but_the_chunks_held_back(image: Image, target: BlockFile) -> None:
    sink = DiskSink(image.manifest, image.index, [target])
    sink.write_zeros()
    for chunk in (0, 1, 2, 7):
        sink.put(chunk, image.read_stored(chunk))
    assert numbers(sink.durable()) == [1, 2, 5, 7]
    again = DiskSink(image.manifest, image.index, [target])
    again.adopt(held_chunks(image.manifest, image.index, [target]))
    assert again.missing() == [0, 3, 4, 5, 6, 8, 9, 10, 11]


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heldchunks, "SAMPLE_LAST", 2)


@pytest.mark.usefixtures("small_sample")
@pytest.mark.parametrize("wrong", [10, 11])
def test_a_claim_is_believed_until_one_sampled_chunk_is_wrong(
    image: Image, target: BlockFile, wrong: int
) -> None:
    restore(image, [target])
    everything = ChunkSet.numbered(COUNT, range(COUNT))
    part = ChunkSet.numbered(COUNT, [1, 2, 5, 8])
    asked = image.manifest, image.index, [target]
    assert numbers(believed_chunks(*asked, everything, Random(1))) == EVERY
    assert numbers(believed_chunks(*asked, part, Random(1))) == [1, 2, 8]
    assert numbers(believed_chunks(*asked, ChunkSet.none(COUNT), Random(1))) == []
    flip(Path(target.path), wrong * MIB)
    flip(Path(target.path), 4 * MIB)
    found = believed_chunks(*asked, everything, Random(1))
    assert numbers(found) == [c for c in EVERY if c not in (4, wrong)]


def test_the_sample_reads_a_hundredth_and_the_last(
    image: Image, target: BlockFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(image, [target])
    monkeypatch.setattr(heldchunks, "SAMPLE_LAST", 2)
    monkeypatch.setattr(heldchunks, "SAMPLE_SHARE", 0.25)
    read: list[int] = []

    def noting(
        device: BlockFile, index: Index, run: Sequence[int], in_use: UsedBytes
    ) -> list[memoryview]:
        read.extend(run)
        return read_run(device, index, run, in_use)

    monkeypatch.setattr(heldchunks, "read_run", noting)
    believed_chunks(image.manifest, image.index, [target], ChunkSet.numbered(COUNT, EVERY), Random(3))
    assert len(read) == 2 + 2
    assert {10, 11} <= set(read)
    assert len(image.index.chunks_of_kind(ChunkKind.DATA)) == COUNT - 1


def test_a_write_that_the_kernel_lost_is_told_until_the_end(
    image: Image, target: BlockFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = DiskSink(image.manifest, image.index, [target])
    sink.write_zeros()
    sink.put(1, image.read_stored(1))

    def once() -> None:
        monkeypatch.undo()
        raise DiskFailed("Input/output error")

    monkeypatch.setattr(target, "flush", once)
    with pytest.raises(DiskFailed):
        sink.durable()
    for step in (sink.durable, sink.finish, lambda: sink.put(2, image.read_stored(2))):
        with pytest.raises((DiskFailed, BadImage)):
            step()
    with pytest.raises(DiskFailed):
        sink.put(2, image.read_stored(2))
