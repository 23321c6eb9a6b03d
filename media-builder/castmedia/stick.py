"""Writing a stick: looked at, shown, confirmed, held, written, and read back past the page cache.

The first sector, without which no firmware starts anything, goes first and comes last: a stick that
was pulled out, or a power cut, leaves one that nobody takes for whole.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn, Self

from castcore.disk import DiskFacts, Write, relocated_backup
from castcore.disk.gpt import has_signature
from castcore.edge.commandline import Screen
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.named import named_disk
from castcore.errors import BadImage, DiskFailed, Refused
from castcore.progress import Progress, ProgressCallback, silent
from castcore.units import MIB

from castmedia import stickpolicy

STEP = MIB
# Tables lie in the first and in the last MiB of a disk.
ENDS = MIB
FIRST_SECTOR = 512
PAGE = 4096
BLKRRPART = 0x125F  # linux/fs.h
SYS_BLOCK = Path("/sys/class/block")


@dataclass(frozen=True, slots=True)
class Stick(DiskFacts):
    """A disk or file that was looked at; ``sequence`` is the kernel's number of it.

    Another stick in the same port has another one, though it may be called alike. 0: a file, or a
    kernel (before 5.15) that does not count.
    """

    sequence: int = 0

    @classmethod
    def of(cls, facts: DiskFacts) -> Self:
        """``facts``, and which disk it is just now."""
        known = {field.name: getattr(facts, field.name) for field in fields(facts)}
        return cls(**known | {"sequence": _sequence(facts.path)})


def chosen_stick(name: str, needed: int) -> Stick:
    """The disk ``name`` (a path, or serial:, wwn:, by-id:, by-path:) when it may be written.

    ``needed`` are the bytes that it must have. Raises NotFound, InUse, Refused, DoesNotFit, DiskFailed,
    MissingProgram (blkid).
    """
    facts = Stick.of(named_disk(name))
    objection = stickpolicy.objection(facts, name, needed)
    if objection is not None:
        raise objection
    return facts


def confirm(facts: DiskFacts, warning: str, yes: str | None, screen: Screen) -> None:
    """Show the disk and return when the operator has typed its number; ``yes`` is that, given before.

    ``warning`` says what will be lost. Raises Refused.
    """
    for line in stickpolicy.described(facts):
        screen.say(line)
    wanted = stickpolicy.answer(facts)
    if yes is None:
        if screen.as_json or not sys.stdin.isatty():
            raise Refused(
                f"nobody is here to confirm that {facts.path} is written", hint=f"add --yes {wanted}"
            )
        screen.say(f"{warning} Type {wanted} to go on:")
        yes = sys.stdin.readline().strip()
    if yes != wanted:
        raise Refused(
            f"{yes!r} is not {wanted}, the disk that would be written; nothing was written",
            hint="look which disk it is, and type its number",
        )


@contextmanager
def held(facts: Stick) -> Iterator[BlockFile]:
    """The disk, open for writing and held against others; it must still be what was looked at.

    The kernel reads its table anew at the end. Raises InUse, NotFound, Refused, DiskFailed.
    """
    with BlockFile.open_target(facts.path) as disk:
        now = Stick.of(named_disk(facts.path))
        if (disk.size, now.stable_id, now.sequence) != (facts.size, facts.stable_id, facts.sequence):
            raise Refused(f"{facts.path} is another disk than a moment ago", hint="start again")
        # Past the cache a stick that was pulled out is noticed at once.
        disk.go_direct()
        try:
            yield disk
        finally:
            disk.close()
            reread_table(facts.path)


def write_image(image: Path, disk: BlockFile, *, progress: ProgressCallback = silent) -> None:
    """Make ``disk`` a copy of the raw or hybrid ISO ``image``, proven by reading it back.

    Its partition table gets its backup at the disk's own end. Raises DiskFailed, NotFound, DoesNotFit.
    """
    with BlockFile.open_source(image) as source:
        head, tail = _ends(source, disk)
        end = min([source.size, *(write.offset for write in tail)])
        goal = max(end - ENDS, 0)
        forget(disk)
        for offset, data in _pieces(source, ENDS, end):
            disk.write(offset, data)
            progress(Progress("write", offset + len(data) - ENDS, goal))
        prove(disk, _pieces(source, ENDS, end), goal, progress)
        finish(disk, head, tail)


def forget(disk: BlockFile) -> None:
    """Make ``disk`` one that has no table and that nobody starts."""
    disk.write(0, bytes(FIRST_SECTOR))
    disk.flush()
    disk.zero(0, min(ENDS, disk.size))
    disk.zero(max(disk.size - ENDS, 0), min(ENDS, disk.size))
    disk.flush()


def finish(disk: BlockFile, head: bytes, tail: tuple[Write, ...] = ()) -> None:
    """Write ``tail``, then ``head``, the disk's first bytes, its first sector last, all proven.

    What lies between is proven already: a backup table alone makes a disk a medium. Raises DiskFailed.
    """
    rest = [*tail, Write(FIRST_SECTOR, head[FIRST_SECTOR:])]
    for write in rest:
        disk.write(write.offset, write.data)
    prove(disk, ((w.offset, w.data) for w in rest))
    disk.write(0, head[:FIRST_SECTOR])
    prove(disk, [(0, head[:FIRST_SECTOR])])


def prove(
    disk: BlockFile,
    pieces: Iterable[tuple[int, bytes]],
    goal: int = 0,
    progress: ProgressCallback = silent,
) -> None:
    """Return when ``disk`` has ``pieces`` (place, bytes) on its medium, past every cache.

    ``goal`` are their bytes together, for ``progress``. Raises DiskFailed naming the first difference.
    """
    disk.drop_cache()
    done = 0
    for offset, data in pieces:
        found = disk.read(offset, len(data))
        if found != data:
            _differs(disk, offset, found, data)
        done += len(data)
        if goal:
            progress(Progress("verify", done, goal))


def reread_table(path: str) -> None:
    """Let the kernel read the partition table of ``path`` anew; files, and disks in use, it leaves."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, BLKRRPART)
        finally:
            os.close(fd)


def _sequence(path: str) -> int:
    """The number that the kernel gave the disk ``path`` when it came."""
    try:
        return int((SYS_BLOCK / Path(path).resolve().name / "diskseq").read_text())
    except (OSError, ValueError):
        return 0


def _ends(source: BlockFile, disk: BlockFile) -> tuple[bytes, tuple[Write, ...]]:
    """The first MiB that ``disk`` gets, and the writes at its end, its table fitted to its size."""
    head = bytearray(source.read(0, min(ENDS, source.size)))
    tail: tuple[Write, ...] = ()
    if has_signature(bytes(head), disk.sector_size):
        with suppress(BadImage):
            first, primary, *backup = relocated_backup(bytes(head), disk.sector_size, disk.size)
            for write in (first, primary):
                head[write.offset : write.offset + len(write.data)] = write.data
            tail = tuple(backup)
    return bytes(head), tail


def _pieces(source: BlockFile, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    for offset in range(start, end, STEP):
        yield offset, source.read(offset, min(STEP, end - offset))


def _differs(disk: BlockFile, offset: int, found: bytes, data: bytes) -> NoReturn:
    at = next(n for n, (one, other) in enumerate(zip(found, data, strict=True)) if one != other)
    raise DiskFailed(
        f"{disk.path} does not read at byte {offset + at} as it was written",
        hint="use another stick: this one is worn out, or smaller than it says",
    )
