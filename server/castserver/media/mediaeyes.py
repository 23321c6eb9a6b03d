"""What could be a deploy medium here: the disks there are, and files that were named.

The kernel tells of disks at once (uevents, as pyudev reads them); what it did not tell is seen by the
next look. Nothing is opened.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyudev

SYS_BLOCK = Path("/sys/block")
# Never sticks: memory, and what is made of other devices or files.
_NO_DISKS = ("loop", "ram", "zram", "dm-", "md", "nbd", "sr", "fd")
# How often the named files, and what nobody told of, are looked at.
LOOK_SECONDS = 0.5

log = logging.getLogger("fleetcast")


@dataclass(frozen=True, order=True)
class Seen:
    """A disk or file at ``path``; ``since`` orders disks by when they came.

    ``key`` tells it from all that were there before: a stick that comes back has another. ``named`` by
    the operator, who expects a medium there.
    """

    since: int
    key: str
    path: str
    named: bool = False


class Eyes:
    """Looks at all disks, and at the ``files`` (or devices) that were named."""

    def __init__(self, files: Sequence[Path] = ()) -> None:
        self._files = tuple(files)
        self._touched: set[str] = set()
        self._woken = threading.Event()
        self._monitor = _monitor()

    def look(self) -> tuple[Seen, ...]:
        """What is there now, the one that came last at the end."""
        disks = sorted(one for path in _blocks() if (one := _disk(path)) is not None)
        return (*disks, *(one for path in self._files if (one := _named(path)) is not None))

    def wait(self) -> set[str]:
        """Return when a disk came, went or changed, or after a while: the paths told of."""
        if self._monitor is None:
            self._woken.wait(LOOK_SECONDS)
            return set()
        touched: set[str] = set()
        device = self._monitor.poll(timeout=LOOK_SECONDS)
        while device is not None:
            touched.add(f"/dev/{device.sys_name}")
            device = self._monitor.poll(timeout=0)
        return touched

    def close(self) -> None:
        """Look no more."""
        self._woken.set()


def _monitor() -> pyudev.Monitor | None:
    """The kernel's own events: those of udevd reach no namespace, and are not there without it."""
    try:
        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
        monitor.filter_by("block")
        monitor.start()
    except (OSError, ImportError) as error:
        log.warning("disks that come and go are looked for, not told of: %s", error)
        return None
    return monitor


def _blocks() -> list[Path]:
    try:
        return [path for path in SYS_BLOCK.iterdir() if not path.name.startswith(_NO_DISKS)]
    except OSError:
        return []


def _disk(block: Path) -> Seen | None:
    """The disk whose folder in /sys is ``block``; None when it has gone, or has no medium in it."""
    try:
        size = int((block / "size").read_text())
        sequence = int((block / "diskseq").read_text())
        if _is_detached(block):
            return None
    except (OSError, ValueError):
        return None
    return Seen(sequence, f"disk-{sequence}", f"/dev/{block.name}") if size else None


def _is_detached(block: Path) -> bool:
    """Whether the device is a loop device that was detached, and only waits for its last user."""
    flag = block / "loop/autoclear"
    return flag.exists() and flag.read_text().strip() != "0"


def _named(path: Path) -> Seen | None:
    """The file or device that was named, if it is there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if stat.S_ISBLK(status.st_mode):
        disk = _disk(SYS_BLOCK / path.resolve().name)
        return None if disk is None else replace(disk, named=True)
    if not stat.S_ISREG(status.st_mode):
        return None
    return Seen(0, f"file-{status.st_dev}-{status.st_ino}", str(path), named=True)
