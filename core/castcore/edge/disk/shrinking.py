"""Making a file system in a file smaller, by its own tool, checked before and after."""

from __future__ import annotations

import os
import re
from pathlib import Path

from castcore.edge.run import ProgramFailed, require, run
from castcore.errors import DiskFailed, Refused
from castcore.units import KIB

SECONDS = 6 * 3600.0
# e2fsck(8): 1 and 2 say that errors were corrected.
_CHECKED = (0, 1, 2)
_BLOCKS = re.compile(r"minimum size of the filesystem: (\d+)")
_BLOCK_SIZE = re.compile(r"Block size:\s+(\d+)")
_NTFS_LEAST = re.compile(r"You might resize at (\d+) bytes")
_NTFS = ("ntfsresize", "--force", "--force", "--no-progress-bar")
# ntfsresize's own estimate leaves nothing for the tables that it must write while it moves data.
NTFS_MARGIN = 1.02
PROGRAMS = {
    "ext2": ("e2fsck", "resize2fs", "dumpe2fs"),
    "ext3": ("e2fsck", "resize2fs", "dumpe2fs"),
    "ext4": ("e2fsck", "resize2fs", "dumpe2fs"),
    "ntfs": ("ntfsresize", "ntfsfix"),
}


def require_tools(fstypes: set[str]) -> None:
    """Return when all that is needed for ``fstypes`` is installed. Raises MissingProgram."""
    needed = {program for fstype in fstypes for program in PROGRAMS[fstype]}
    require(needed, hint="install e2fsprogs and ntfs-3g")


def least_size(part: Path, fstype: str) -> int:
    """The bytes that the file system in ``part`` needs at least, as its tool estimates.

    ext2/3/4 are checked first, as their tool demands. Raises Refused when it is damaged.
    """
    try:
        if fstype == "ntfs":
            said = run([*_NTFS, "--info", str(part)], timeout=SECONDS).decode(errors="replace")
            return int(int(_found(_NTFS_LEAST, said, "ntfsresize")) * NTFS_MARGIN)
        run(["e2fsck", "-f", "-p", str(part)], timeout=SECONDS, ok=_CHECKED)
        blocks = run(["resize2fs", "-P", str(part)], timeout=SECONDS).decode(errors="replace")
        facts = run(["dumpe2fs", "-h", str(part)], timeout=SECONDS).decode(errors="replace")
        return int(_found(_BLOCKS, blocks, "resize2fs")) * int(_found(_BLOCK_SIZE, facts, "dumpe2fs"))
    except ProgramFailed as error:
        raise Refused(
            f"the {fstype} cannot be made smaller: {error.what}",
            hint="check it on the machine it comes from, and capture it again",
        ) from None


def shrink_to(part: Path, fstype: str, size: int) -> None:
    """Make the file system and its file ``size`` bytes long, and prove that it is clean.

    Raises DiskFailed when its tool fails or finds it damaged afterwards.
    """
    try:
        if fstype == "ntfs":
            run([*_NTFS, "--size", str(size), str(part)], timeout=SECONDS)
            os.truncate(part, size)
            run(["ntfsfix", "-n", str(part)], timeout=SECONDS)
            return
        run(["resize2fs", str(part), f"{size // KIB}K"], timeout=SECONDS)
        os.truncate(part, size)
        run(["e2fsck", "-f", "-n", str(part)], timeout=SECONDS)
    except ProgramFailed as error:
        raise DiskFailed(f"the {fstype} did not become smaller: {error.what}") from None


def _found(pattern: re.Pattern[str], said: str, program: str) -> str:
    found = pattern.search(said)
    if found is None:
        raise Refused(f"{program} does not say how small it can become: {said.strip()[-300:]}")
    return found[1]
