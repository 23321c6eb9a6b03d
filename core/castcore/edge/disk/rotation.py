"""Whether a disk turns: reading here and there makes such a one slow for its owner, others not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

SYS_BLOCK = Path("/sys/dev/block")


def rotational(path: str | os.PathLike[str], sys_block: Path = SYS_BLOCK) -> bool:
    """Whether the disk at ``path``, or the one that the raw file lies on, turns (sysfs-block(5)).

    False where the kernel does not know: a file in memory or on another machine, or none at all.
    """
    try:
        facts = os.stat(path)
    except OSError:
        return False
    number = facts.st_rdev if stat.S_ISBLK(facts.st_mode) else facts.st_dev
    here = sys_block / f"{os.major(number)}:{os.minor(number)}"
    # A partition's folder lies within its disk's, which has the queue.
    for folder in (here, here.resolve().parent):
        try:
            return (folder / "queue/rotational").read_text().strip() == "1"
        except OSError:
            continue
    return False
