"""A read-only loop device over part of a disk or file, for programs that know no offsets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from castcore.disk import Extent
from castcore.edge.run import run

SECONDS = 30.0


@contextmanager
def read_only_loop(path: str, extent: Extent) -> Iterator[str]:
    """The path of a loop device over ``extent`` of ``path``, gone when the block is left.

    It is detached while we hold it open, which makes the kernel remove it when the last user is
    gone: even a killed process leaves none behind. Raises ProgramFailed, MissingProgram.
    """
    region = ["--offset", str(extent.start), "--sizelimit", str(extent.length)]
    printed = run(["losetup", "--find", "--show", "--read-only", *region, path], timeout=SECONDS)
    device = printed.decode().strip()
    try:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        run(["losetup", "--detach", device], timeout=SECONDS)
    try:
        yield device
    finally:
        os.close(fd)
