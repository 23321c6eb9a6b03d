"""A client that goes on after a restart: what it believes, what it has remembered, and when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from castclient.resume import Keeper, held_at_start
from castcore.cast.chunkset import ChunkSet
from castcore.disk import Extent
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.errors import NetworkFailed
from castcore.progress import silent
from castcore.units import MIB

from tests.support.images import blank, flip, make_image, noise, write_at

COUNT = 6


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    raw = blank(tmp_path / "source.raw", COUNT * MIB)
    for chunk in range(COUNT):
        write_at(raw, chunk * MIB, noise(MIB, chunk))
    with Image.open(make_image(tmp_path, "resumed", raw, (Extent(0, COUNT * MIB),))) as opened:
        yield opened


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[BlockFile]:
    with BlockFile.open_target(blank(tmp_path / "target.raw", COUNT * MIB)) as opened:
        yield opened


def held(image: Image, disk: BlockFile, claimed: bytes, *, update: bool = False) -> ChunkSet:
    return held_at_start(image.manifest, image.index, [disk], claimed, update=update, progress=silent)


def test_without_a_claim_nothing_is_read_unless_the_cast_is_an_update(
    image: Image, disk: BlockFile
) -> None:
    restore(image, [disk])
    assert not held(image, disk, b"")
    assert not held(image, disk, b"nonsense")
    assert held(image, disk, b"", update=True) == ChunkSet.numbered(COUNT, range(1, COUNT))


def test_a_claim_is_held_to_what_the_disk_gives_back(image: Image, disk: BlockFile) -> None:
    restore(image, [disk])
    claim = ChunkSet.numbered(COUNT, [1, 2, 3]).encode()
    assert held(image, disk, claim) == ChunkSet.numbered(COUNT, [1, 2, 3])
    flip(Path(disk.path), 2 * MIB)
    assert held(image, disk, claim) == ChunkSet.numbered(COUNT, [1, 3])


def test_what_is_written_is_remembered_as_it_grows_and_at_the_end(image: Image, disk: BlockFile) -> None:
    sink = DiskSink(image.manifest, image.index, [disk])
    sink.write_zeros()
    told: list[ChunkSet] = []
    grown = threading.Event()

    def remember(chunks: bytes) -> None:
        told.append(ChunkSet.decode(chunks, COUNT))
        if told[-1]:
            grown.set()

    with Keeper(sink, remember, seconds=0.01):
        sink.put(2, image.read_stored(2))
        assert grown.wait(20)
        for chunk in (0, 1, 3):
            sink.put(chunk, image.read_stored(chunk))
    assert told[-1] == ChunkSet.numbered(COUNT, [1, 2, 3])
    assert all(not before - after for before, after in pairwise(told))
    assert len(told) == len(set(told)), "the same was told twice"


def test_what_a_disk_holds_by_itself_is_remembered_once_it_is_written(
    image: Image, disk: BlockFile
) -> None:
    sink = DiskSink(image.manifest, image.index, [disk])
    sink.adopt(ChunkSet.numbered(COUNT, [1, 2]))
    told: list[ChunkSet] = []

    def remember(chunks: bytes) -> None:
        told.append(ChunkSet.decode(chunks, COUNT))

    with Keeper(sink, remember, seconds=1000):
        pass
    assert told == []
    with Keeper(sink, remember, seconds=1000):
        sink.put(3, image.read_stored(3))
    assert told == [ChunkSet.numbered(COUNT, [1, 2, 3])]


def test_a_silent_server_is_told_the_next_time(image: Image, disk: BlockFile) -> None:
    sink = DiskSink(image.manifest, image.index, [disk])
    sink.write_zeros()
    tries, told = [0], threading.Event()

    def remember(_: bytes) -> None:
        tries[0] += 1
        if tries[0] < 3:
            raise NetworkFailed("no answer")
        told.set()

    with Keeper(sink, remember, seconds=0.01):
        assert told.wait(20)


def test_who_fails_tells_nothing_more(image: Image, disk: BlockFile) -> None:
    sink = DiskSink(image.manifest, image.index, [disk])
    told: list[bytes] = []
    with pytest.raises(ZeroDivisionError), Keeper(sink, told.append, seconds=1000):
        raise ZeroDivisionError
    assert told == []
