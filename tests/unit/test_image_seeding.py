"""What a restored disk's owner serves to others: from memory, and from its disk unless that turns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from castcore.cast.peerwire import NONCE_SIZE, Packed, seal, unseal
from castcore.cast.seedcache import FLOOR
from castcore.disk import Extent
from castcore.edge.disk import seedcontents
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.disk.rotation import rotational
from castcore.edge.disk.seedcontents import SeedContents
from castcore.edge.image.imagefile import Image
from castcore.errors import Untrusted
from castcore.units import GIB, MIB

from tests.support.images import blank, make_image, noise, write_at

SIZE = 6 * MIB
KEY = bytes(range(32))


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    """Four chunks of noise, and two that compress."""
    raw = blank(tmp_path / "source.raw", SIZE)
    write_at(raw, 0, noise(4 * MIB, 5))
    write_at(raw, 4 * MIB, b"the same again. " * (2 * MIB // 16))
    with Image.open(make_image(tmp_path, "small", raw, (Extent(0, SIZE),))) as opened:
        yield opened


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return blank(tmp_path / "target.raw", SIZE)


class Memory:
    """The free memory of a machine, as a test says."""

    def __init__(self, free: int = GIB) -> None:
        self.free = free

    def __call__(self) -> int:
        return self.free


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seedcontents, "LOOK_SECONDS", 0.0)


def seeding(image: Image, target: Path, memory: Memory, *, turns: bool) -> SeedContents:
    return SeedContents(image.manifest, image.index, [str(target)], free=memory, turns=lambda _: turns)


def restore(image: Image, target: Path, contents: SeedContents) -> None:
    with BlockFile.open_target(target) as disk:
        sink = DiskSink(image.manifest, image.index, [disk])
        sink.write_zeros()
        taking = contents.remembering(sink)
        for chunk in range(len(image.index)):
            taking.put(chunk, memoryview(image.read_stored(chunk)))
        taking.flush()
        sink.finish()


def served(contents: SeedContents, chunk: int) -> bytes | None:
    """The content as whoever asked for it has it."""
    packed = contents.packed(chunk)
    if packed is None:
        return None
    return unseal(KEY, 7, chunk, seal(KEY, 7, chunk, packed, bytes(NONCE_SIZE)))


def test_a_turning_disk_is_left_alone_and_its_chunks_come_from_memory(
    image: Image, target: Path
) -> None:
    with closing(seeding(image, target, Memory(), turns=True)) as contents:
        restore(image, target, contents)
        target.write_bytes(bytes(SIZE))  # whatever it holds now
        for chunk in range(len(image.index)):
            assert served(contents, chunk) == bytes(image.content(chunk))
        # As stored: nobody compresses it again.
        assert contents.packed(4) == Packed(image.read_stored(4), zstd=True)


def test_what_is_not_in_memory_comes_from_a_disk_that_does_not_turn(image: Image, target: Path) -> None:
    little = Memory(FLOOR + 10 * MIB)  # a quarter of what is free above the floor: two chunks of noise
    for turns, least, most in ((True, 2, 4), (False, len(image.index), len(image.index))):
        with closing(seeding(image, target, little, turns=turns)) as contents:
            restore(image, target, contents)
            got = [served(contents, chunk) for chunk in range(len(image.index))]
            assert least <= sum(content is not None for content in got) <= most
            for chunk, content in enumerate(got):
                assert content in (None, bytes(image.content(chunk)))
            assert contents.packed(len(image.index)) is None


def test_memory_that_is_short_is_given_back_at_once(image: Image, target: Path) -> None:
    memory = Memory()
    with closing(seeding(image, target, memory, turns=True)) as contents:
        restore(image, target, contents)
        memory.free = FLOOR - 64 * MIB
        contents.relieve()
        assert [served(contents, chunk) for chunk in range(len(image.index))] == [None] * 6
        memory.free = GIB
        restore(image, target, contents)
        assert served(contents, 0) is None, "what was short once will be again"


@pytest.mark.parametrize("unpacked", [False, True])
def test_any_chunk_that_is_put_looks_whether_memory_is_short(
    image: Image, target: Path, *, unpacked: bool
) -> None:
    memory = Memory()
    with closing(seeding(image, target, memory, turns=True)) as contents:
        restore(image, target, contents)
        assert served(contents, 1) is not None
        with BlockFile.open_target(target) as disk:
            sink = DiskSink(image.manifest, image.index, [disk])
            sink.write_zeros()
            taking = contents.remembering(sink)
            memory.free = 0
            if unpacked:
                taking.put_content(0, bytes(image.content(0)))
            else:
                taking.put(0, image.read_stored(0))  # kept already
            memory.free = GIB
        assert [served(contents, chunk) for chunk in range(len(image.index))] == [None] * 6


def test_what_was_not_proven_is_not_kept(image: Image, target: Path) -> None:
    with closing(seeding(image, target, Memory(), turns=True)) as contents:
        with BlockFile.open_target(target) as disk:
            sink = DiskSink(image.manifest, image.index, [disk])
            sink.write_zeros()
            taking = contents.remembering(sink)
            with pytest.raises(Untrusted):
                taking.put(2, image.read_stored(1))
            sink.put(2, image.read_stored(2))
            assert taking.put(2, image.read_stored(1)) == 0
            assert taking.put_content(3, bytes(image.content(3))) > 0
        assert [contents.packed(chunk) for chunk in (2, 3)] == [None, None]


def _disk(sys_block: Path, number: str, turns: str, partition: str) -> None:
    """A disk and its partition as sysfs has them."""
    folder = sys_block.parent / f"devices/{number}"
    (folder / "queue").mkdir(parents=True)
    (folder / "queue/rotational").write_text(f"{turns}\n")
    (folder / "part").mkdir()
    sys_block.mkdir(exist_ok=True)
    (sys_block / number).symlink_to(folder)
    (sys_block / partition).symlink_to(folder / "part")


@pytest.mark.parametrize("turns", [True, False])
@pytest.mark.parametrize("partition", [True, False])
def test_the_kernel_tells_whether_a_disk_turns(tmp_path: Path, *, turns: bool, partition: bool) -> None:
    file = tmp_path / "disk.raw"
    file.write_bytes(b"")
    below = os.stat(file).st_dev
    own = f"{os.major(below)}:{os.minor(below)}"
    names = ("250:9", own) if partition else (own, "250:9")
    _disk(tmp_path / "block", names[0], "1" if turns else "0", names[1])
    assert rotational(file, tmp_path / "block") is turns
    assert not rotational(file, tmp_path / "nothing")
    assert not rotational(tmp_path / "no such file", tmp_path / "block")
