"""Chunks by their content: read back from one disk, put on another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from castcore.disk import Extent, TableType
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.disk.readback import WrittenChunks
from castcore.edge.image.imagefile import Image
from castcore.errors import Untrusted
from castcore.units import MIB

from tests.support.images import blank, gpt_disk, make_image, noise, write_at

# The second chunk has a hole, which no disk need hold.
SIZE = 4 * MIB
IN_USE = (Extent(0, MIB + 4096), Extent(MIB + 65536, SIZE - MIB - 65536))


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    raw = blank(tmp_path / "source.raw", SIZE)
    write_at(raw, 0, noise(SIZE, 5))
    with Image.open(make_image(tmp_path, "small", raw, IN_USE)) as opened:
        yield opened


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target.raw"
    path.write_bytes(b"\xaa" * (SIZE + MIB))
    return path


def restored(image: Image, target: Path, *, content: bool) -> None:
    with BlockFile.open_target(target) as disk:
        sink = DiskSink(image.manifest, image.index, [disk])
        sink.write_zeros()
        for chunk in range(len(image.index)):
            if content:
                assert sink.put_content(chunk, bytes(image.content(chunk))) > 0
                assert sink.put_content(chunk, bytes(image.content(chunk))) == 0
            else:
                sink.put(chunk, image.read_stored(chunk))
        sink.finish()
        sink.verify()


@pytest.mark.parametrize("content", [True, False])
def test_what_was_put_can_be_had_again(image: Image, target: Path, *, content: bool) -> None:
    restored(image, target, content=content)
    with closing(WrittenChunks(image.manifest, image.index, [str(target)])) as written:
        for chunk in range(len(image.index)):
            assert written.content(chunk) == image.content(chunk)
        assert written.content(len(image.index)) is None
        assert written.content(-1) is None


def test_what_was_not_written_yet_or_is_damaged_is_not_had(image: Image, target: Path) -> None:
    with closing(WrittenChunks(image.manifest, image.index, [str(target)])) as written:
        assert [written.content(chunk) for chunk in range(4)] == [None] * 4
        restored(image, target, content=False)
        write_at(target, 2 * MIB + 7, b"damage")
        assert [written.content(chunk) is None for chunk in range(4)] == [False, False, True, False]


def test_a_head_that_was_placed_for_another_disk_is_not_had(tmp_path: Path, target: Path) -> None:
    raw = tmp_path / "gpt.raw"
    part, in_use = gpt_disk(raw, SIZE)
    made = make_image(tmp_path, "gpt", raw, in_use, table=TableType.GPT, partitions=(part,))
    with Image.open(made) as image:
        restored(image, target, content=True)
        with closing(WrittenChunks(image.manifest, image.index, [str(target)])) as written:
            assert written.content(0) is None
            assert written.content(1) == image.content(1)


def test_contents_that_are_not_the_images_are_refused_unwritten(image: Image, target: Path) -> None:
    with BlockFile.open_target(target) as disk:
        sink = DiskSink(image.manifest, image.index, [disk])
        good = bytes(image.content(2))
        for wrong in (good[:-1], good + b"\0", b"", bytes(len(good))):
            with pytest.raises(Untrusted):
                sink.put_content(2, wrong)
        assert disk.read(2 * MIB, MIB) == b"\xaa" * MIB
