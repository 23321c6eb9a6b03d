"""Who uses a disk or a raw file right now: mounts, swap, device mapper and RAID, loop devices.

Only what the kernel tells is read (/proc/self/mountinfo, /proc/swaps, /sys, loop devices' status).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from castcore.edge.disk.loopdevice import backing_file

SYS = Path("/sys")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of mountinfo: the device number ``"8:1"``, its source and where it is mounted."""

    device: str
    source: str
    point: str


def held_by(path: str) -> str:
    """Who uses the block device or file ``path``, for a person ("mounted at /"); "" when it is free.

    For a whole disk its partitions count too. Raises OSError when ``path`` does not exist.
    """
    status = os.stat(path)
    if stat.S_ISBLK(status.st_mode):
        return _device_held_by(path, f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")
    return _file_held_by(os.path.realpath(path))


def parse_mountinfo(text: str) -> Iterator[Mount]:
    """The mounts in ``text``, in the format of proc_pid_mountinfo(5)."""
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, after = left.split(), right.split()
        if separator and len(fields) >= 5 and len(after) >= 2:
            yield Mount(fields[2], _unescape(after[1]), _unescape(fields[4]))


def parse_swaps(text: str) -> tuple[str, ...]:
    """The swap devices and files in ``text``, in the format of /proc/swaps."""
    return tuple(_unescape(line.split()[0]) for line in text.splitlines()[1:] if line.strip())


def _device_held_by(path: str, number: str) -> str:
    sysfs = SYS / "dev/block" / number
    family = {number} | {_read(child) for child in sysfs.glob("*/dev")}
    for mount in parse_mountinfo(_read(PROC / "self/mountinfo")):
        # File systems with several devices (btrfs) have a number of their own: ask the source.
        if mount.device in family or _number(mount.source) in family:
            return f"mounted at {mount.point}"
    for swap in parse_swaps(_read(PROC / "swaps")):
        if _number(swap) in family:
            return "used as swap"
    for holder in (*sysfs.glob("holders/*"), *sysfs.glob("*/holders/*")):
        return f"part of {_read(holder / 'dm/name') or holder.name}"
    return _loop_over(Path(os.path.realpath(path)), loops=_loops())


def _file_held_by(real: str) -> str:
    for mount in parse_mountinfo(_read(PROC / "self/mountinfo")):
        if mount.source == real:
            return f"mounted at {mount.point}"
    if real in parse_swaps(_read(PROC / "swaps")):
        return "used as swap"
    return _loop_over(Path(real), loops=_loops())


def _loops() -> Iterator[tuple[str, str]]:
    for backing in SYS.glob("block/loop*/loop/backing_file"):
        yield backing.parent.parent.name, _read(backing)


def _loop_over(real: Path, *, loops: Iterable[tuple[str, str]]) -> str:
    for name, backing in loops:
        if backing == str(real) or backing_file(f"/dev/{name}") == _identity(real):
            mounted = _device_number_held_by(name)
            return f"attached to /dev/{name}{', ' + mounted if mounted else ''}"
    return ""


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _device_number_held_by(loop: str) -> str:
    number = _read(SYS / "block" / loop / "dev")
    for mount in parse_mountinfo(_read(PROC / "self/mountinfo")):
        if mount.device == number:
            return f"mounted at {mount.point}"
    return ""


def _number(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return ""
    if not stat.S_ISBLK(status.st_mode):
        return ""
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _unescape(field: str) -> str:
    # proc(5): space, tab, newline and backslash stand as three octal digits.
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
