"""Reads and writes past the page cache move the same bytes as those through it, whatever their place."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.directio import BUFFER, LEAST, UNIT, DirectFile, own_buffer
from castcore.errors import DiskFailed, NoSpace
from castcore.units import MIB

from tests.support.images import blank, noise

SIZE = 5 * MIB + 512


@pytest.fixture
def disk(tmp_path: Path) -> BlockFile:
    return BlockFile.open_target(blank(tmp_path / "disk.raw", SIZE))


def require_direct(disk: BlockFile) -> DirectFile:
    disk.go_direct()
    if disk._direct is None:
        pytest.skip(f"{disk.path}: its file system has no O_DIRECT")
    return disk._direct


def test_any_place_and_length(disk: BlockFile) -> None:
    require_direct(disk)
    rng, model = random.Random(5), bytearray(SIZE)
    for number in range(60):
        unit = rng.choice((1, 512, UNIT))
        offset = rng.randrange(SIZE // unit) * unit
        length = min(rng.choice((100, LEAST - 1, LEAST, MIB, 2 * MIB + 700)), SIZE - offset)
        data = noise(length, number)
        disk.write(offset, data)
        model[offset : offset + length] = data
        start = rng.randrange(SIZE)
        length = min(rng.choice((1, UNIT, LEAST + 3, MIB, 3 * MIB)), SIZE - start)
        assert disk.read(start, length) == model[start : start + length]
        for view in (own_buffer()[:length], memoryview(bytearray(length + 1))[1:]):
            asked = view[: min(length, len(view))]
            disk.read_into(start, asked)
            assert asked == model[start : start + len(asked)]
            disk.write(start, asked)
    disk.close()
    assert Path(disk.path).read_bytes() == bytes(model)


def test_large_runs_go_past_the_cache_in_whole_pages(disk: BlockFile) -> None:
    direct = require_direct(disk)
    data = memoryview(bytes(MIB + 100))
    assert direct.write(UNIT, data) == MIB
    assert direct.write(UNIT, data[: LEAST - 1]) == 0
    assert direct.write(0, memoryview(bytes(BUFFER + UNIT))) == BUFFER
    assert direct.read(512, MIB) == bytes(MIB)
    assert direct.read(0, LEAST - 1) is None
    assert direct.read(1, BUFFER) is None


def test_whole_pages_of_our_own_need_no_copy(disk: BlockFile) -> None:
    direct = require_direct(disk)
    view = own_buffer()
    assert own_buffer() is view
    view[:MIB] = data = noise(MIB, 7)
    assert direct.write(UNIT, view[: MIB + 100]) == MIB
    view[:MIB] = bytes(MIB)
    assert direct.read_into(UNIT, view[: MIB + 100]) == MIB
    assert view[:MIB] == data
    assert direct.read_into(512, view[:MIB]) is None
    assert direct.read_into(0, view[: LEAST - 1]) is None
    assert direct.read_into(0, view[1 : MIB + 1]) is None
    assert direct.read_into(0, memoryview(bytearray(MIB + 1))[1:]) is None


def test_reads_past_the_cache_see_what_is_only_in_it(disk: BlockFile) -> None:
    disk.write(MIB, b"x" * MIB)
    require_direct(disk)
    assert disk.read(MIB, MIB) == b"x" * MIB


def test_where_it_cannot_be_done_the_cache_serves(
    disk: BlockFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_direct(disk)

    def refused(*_: object) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "preadv", refused)
    disk.write(0, noise(MIB, 9))
    assert disk.read(0, MIB) == noise(MIB, 9)
    disk.read_into(0, own_buffer()[:MIB])
    assert own_buffer()[:MIB] == noise(MIB, 9)


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EIO, DiskFailed), (errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace)]
)
def test_a_failing_write_names_its_byte(
    disk: BlockFile, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    require_direct(disk)
    done: list[int] = []

    def failing(fd: int, data: memoryview, offset: int) -> int:
        if done:
            raise OSError(number, os.strerror(number))
        done.append(offset)
        return UNIT  # a short write, then no more

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises(kind, match=f"cannot write at byte {MIB + UNIT}: {os.strerror(number)}"):
        disk.write(MIB, bytes(MIB))


def test_a_failing_read_names_its_byte(disk: BlockFile, monkeypatch: pytest.MonkeyPatch) -> None:
    require_direct(disk)

    def failing(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(DiskFailed, match=f"cannot read at byte {2 * MIB}: "):
        disk.read(2 * MIB, MIB)
    with pytest.raises(DiskFailed, match=f"cannot read at byte {2 * MIB}: "):
        disk.read_into(2 * MIB, own_buffer())


def test_reading_past_the_end_names_what_is_missing(disk: BlockFile) -> None:
    disk.go_direct()
    with pytest.raises(DiskFailed, match=f"ends at byte {SIZE}: {MIB - 512} bytes missing"):
        disk.read_into(5 * MIB, own_buffer()[:MIB])
