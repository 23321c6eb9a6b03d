"""Partclone's domain maps: which bytes of a file system it calls free (`partclone.FS -D`).

Partclone wants a path that starts where the file system does.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from castcore.disk import Extent
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.loopdevice import read_only_loop
from castcore.edge.run import ProgramFailed, run

PROGRAMS = {
    "ext2": "partclone.ext2",
    "ext3": "partclone.ext3",
    "ext4": "partclone.ext4",
    "ntfs": "partclone.ntfs",
    "xfs": "partclone.xfs",
    "exfat": "partclone.exfat",
}
# A domain map of a full 20 TB ext4 takes minutes; a hanging program must still end.
SECONDS = 3600.0
# partclone waits for its progress thread, which (silent here too) sleeps two seconds a turn.
AT_ONCE = ("-q", "-f", "0")
SYS = Path("/sys")
DEV = Path("/dev")
# What it counts on the same line before it fails.
PROGRESS = re.compile(r"^Elapsed: .*%\s*")
BOILERPLATE = ("partclone fail", "please run fsck", "partclone v", "starting to map")


def domain_map(fstype: str, source: str, *, unchecked: bool) -> str:
    """The map of the ``fstype`` (one of PROGRAMS) on ``source``, the text that partclone writes.

    ``unchecked`` reads one that was not left clean too. Raises ProgramFailed, MissingProgram.
    """
    with tempfile.TemporaryDirectory(prefix="fleetcast-") as folder:
        target = Path(folder, "map")
        log = ["-L", str(Path(folder, "log"))]
        check = ["--ignore_fschk"] if unchecked else []
        run(
            [PROGRAMS[fstype], "-D", *AT_ONCE, *check, *log, "-s", source, "-o", str(target)],
            timeout=SECONDS,
        )
        return target.read_text(errors="replace") if target.exists() else ""


@contextmanager
def from_its_start(disk: BlockFile, extent: Extent) -> Iterator[str]:
    """A path that starts where ``extent`` does: the file itself, a partition node, a loop device."""
    own = disk.path if extent == Extent(0, disk.size) else partition_node(disk.path, extent)
    if own:
        yield own
    else:
        with read_only_loop(disk.path, extent) as loop:
            yield loop


def partition_node(path: str, extent: Extent) -> str:
    """The kernel's node for exactly ``extent`` of the block device ``path``, "" when there is none."""
    disk = SYS / "class/block" / os.path.basename(os.path.realpath(path))
    for mark in disk.glob("*/partition"):
        start, length = (int((mark.parent / name).read_text()) * 512 for name in ("start", "size"))
        node = DEV / mark.parent.name
        if Extent(start, length) == extent and node.exists():
            return str(node)
    return ""


def said(error: ProgramFailed) -> str:
    """What partclone said of its failure, without what it always says."""
    lines = [line.strip() for line in error.stderr.replace("\r", "\n").splitlines() if line.strip()]
    lines = [PROGRESS.sub("", line) for line in lines]
    telling = [line for line in lines if not line.lower().startswith(BOILERPLATE)]
    return telling[-1] if telling else error.what
