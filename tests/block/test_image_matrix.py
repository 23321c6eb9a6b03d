"""The matrix: what a disk may hold, how it is divided, and its sector size; captured and restored.

Every cell starts on a disk full of old garbage and is restored onto another one. Afterwards every
extent in use is identical (read past the page cache), the content's own checker is content, and the
tree of files is the same. At the end a table tells the bytes stored against the bytes used, and which
contents are taken by every sector and why.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from castcore.disk import Extent, Extents, TableType, Taken, intersect, subtract
from castcore.edge import commandline
from castcore.edge.image.imagefile import Image
from castcore.errors import ExitCode
from castcore.units import KIB, MIB, human, round_down, round_up
from castserver.commands import capture, restore

from tests.block.contents import CONTENTS, Content, tool
from tests.block.layouts import LAYOUTS, START, Layout, put_boot_code
from tests.block.volumegroup import LVM
from tests.support.images import noise

pytestmark = pytest.mark.root

# What an image may hold beside what a file system calls in use: the bytes before and after it.
BESIDE = START + 2 * MIB
# The cells of `make test`; every other one is marked `full`.
QUICK = {
    ("gpt", "ext4", 4096),
    ("gpt", "btrfs-dup", 512),
    ("gpt", "ntfs", 512),
    ("gpt", "f2fs", 512),
    ("mbr-logical", "fat16", 512),
    ("no table", "xfs", 512),
    ("gpt-4 entries", "fat12", 512),
    ("gpt", "luks", 512),
    ("gpt", "lvm", 512),
}
USUAL = ("gpt", "mbr-logical", "no table")
MANY = ("ext4", "fat12")


@dataclass
class Seen:
    """One line of the table."""

    content: Content
    used: int
    in_use: int
    stored: int
    why: str


@dataclass
class Book:
    """What the cells found, and the content that was made last: it serves several layouts."""

    seen: dict[str, Seen] = field(default_factory=dict)
    made: tuple[str, int] = ("", 0)
    file: Path = Path("/nonexistent/content")
    tree: str = ""
    used: int = 0


def cells() -> Iterator[object]:
    for content in (*CONTENTS, LVM):
        for sector in content.sectors:
            for layout in LAYOUTS:
                if sector in layout.sectors and (layout.name in USUAL or content.name in MANY):
                    quick = (layout.name, content.name, sector) in QUICK
                    name = f"{content.name}-{layout.name}-{sector}".replace(" ", "_")
                    marks = [] if quick else [pytest.mark.full]
                    yield pytest.param(layout, content, sector, id=name, marks=marks)


@pytest.fixture(scope="module")
def book(request: pytest.FixtureRequest) -> Iterator[Book]:
    book = Book()
    yield book
    book.file.unlink(missing_ok=True)
    plugins = request.config.pluginmanager
    reporter, captured = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")
    with captured.global_and_fixture_disabled():
        for line in table(book.seen.values()):
            reporter.write_line(line)


def table(seen: Iterable[Seen]) -> Iterator[str]:
    yield ""
    yield f"{'content':<16}{'used':>12}{'in the image':>14}{'stored':>12}{'stored/used':>13}"
    for line in seen:
        ratio = f"{line.stored / line.used:.2f}" if line.used else "-"
        used = human(line.used) if line.used else "-"
        sizes = f"{used:>12}{human(line.in_use):>14}{human(line.stored):>12}{ratio:>13}"
        every = f"  EVERY SECTOR: {line.why}" if line.content.taken is Taken.EVERY else ""
        yield f"{line.content.name:<16}{sizes}{every}"


def garbage(path: Path, size: int, seed: int) -> Path:
    """A file of ``size`` bytes as an old disk may hold them."""
    piece = noise(4 * MIB, seed)
    with path.open("wb") as file:
        for at in range(0, size, len(piece)):
            file.write(piece[: min(len(piece), size - at)])
    return path


@contextmanager
def attached(file: Path, sector: int, extent: Extent | None = None) -> Iterator[str]:
    part = ["--offset", str(extent.start), "--sizelimit", str(extent.length)] if extent else []
    options = ["--find", "--show", "--sector-size", str(sector), *part]
    device = tool("losetup", *options, file).strip()
    try:
        yield device
    finally:
        tool("losetup", "--detach", device)


def make_content(book: Book, content: Content, sector: int, folder: Path) -> None:
    """See to it that ``book`` has the content as a file."""
    if book.made == (content.name, sector):
        return
    book.file.unlink(missing_ok=True)
    book.file = garbage(folder / f"{content.name}-{sector}.part", content.size, 3)
    book.made = (content.name, sector)
    with attached(book.file, sector) as device:
        content.make(device, sector)
        book.tree = content.files(device)
        book.used = content.used(device) if content.used else 0


def make_disk(path: Path, layout: Layout, content: Content, sector: int, part: Path) -> Path:
    garbage(path, layout.disk_size(content.size), 5)
    with attached(path, sector) as device:
        with path.open("r+b") as file:
            file.write(bytes(MIB))  # no table may be found that is not ours
        layout.divide(device, sector, content.size)
    put_boot_code(path, layout)
    with part.open("rb") as read, path.open("r+b") as write:
        write.seek(layout.start)
        while data := read.read(4 * MIB):
            write.write(data)
    return path


def direct(path: Path, extent: Extent) -> bytes:
    """The bytes of ``extent``, read past the page cache."""
    start, end = round_down(extent.start, 4 * KIB), round_up(extent.end, 4 * KIB)
    buffer = mmap.mmap(-1, end - start)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        got = os.preadv(fd, [buffer], start)
        assert got >= extent.end - start
        return buffer[extent.start - start : extent.end - start]
    finally:
        os.close(fd)
        buffer.close()


def differing(source: Path, target: Path, extents: Extents) -> list[int]:
    """Where the two files differ inside ``extents``, by pieces of 4 MiB."""
    return [
        at
        for extent in extents
        for at in range(extent.start, extent.end, 4 * MIB)
        if direct(source, piece := Extent(at, min(4 * MIB, extent.end - at))) != direct(target, piece)
    ]


def fleetcast(*argv: str | Path) -> None:
    words = [str(a) for a in argv]
    assert ExitCode(commandline.main("fleetcast", "", [capture, restore], words)) is ExitCode.OK


@pytest.mark.parametrize(("layout", "content", "sector"), list(cells()))
def test_a_disk_comes_back(
    layout: Layout,
    content: Content,
    sector: int,
    book: Book,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    make_content(book, content, sector, tmp_path_factory.getbasetemp())
    source = make_disk(tmp_path / "source.raw", layout, content, sector, book.file)
    larger = 0 if layout.table is TableType.NONE else 8 * MIB
    target = garbage(tmp_path / "target.raw", source.stat().st_size + larger, 7)
    with attached(source, sector) as device:
        fleetcast("capture", device, tmp_path / "disk.fcast", "--level", "1")
    with attached(target, sector) as device:
        fleetcast("restore", tmp_path / "disk.fcast", device, "--yes", "--verify")
        tool(*layout.check, device)

    with Image.open(tmp_path / "disk.fcast") as image:
        (disk,) = image.manifest.disks
        used, stored = image.manifest.used, image.manifest.stored
    part = next(p for p in disk.layout.partitions if p.number == layout.number)
    assert disk.layout.table is layout.table
    assert part.extent == Extent(layout.start, content.size)
    assert (part.fstype, part.taken) == (content.fstype, content.taken), part.why
    assert content.why in part.why
    assert subtract(layout.kept, disk.in_use) == ()

    # The first two sectors of a GPT disk name its size, and that is another one now.
    renewed = (Extent(0, 2 * sector),) if layout.table is TableType.GPT else ()
    assert differing(source, target, subtract(disk.in_use, renewed)) == []
    with attached(target, sector, part.extent) as device:
        content.check(device)
        assert content.files(device) == book.tree
    book.seen[content.name] = Seen(content, book.used, used, stored, part.why)
    if content.taken is Taken.EVERY:
        assert intersect(disk.in_use, [part.extent]) == (part.extent,)
        assert stored <= content.stores + BESIDE  # zeros cost nothing
    else:
        assert used <= 1.1 * book.used + BESIDE
        assert stored <= 1.1 * book.used + BESIDE
    for file in (source, target):
        file.unlink()
