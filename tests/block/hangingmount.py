"""A mount whose every call hangs, as that of a network file system whose server is gone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hanging_mount(point: Path) -> Iterator[None]:
    """A FUSE file system at ``point`` that nobody answers for; closing its device ends all calls."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
        subprocess.run(
            ["mount", "-i", "-t", "fuse", "-o", options, "hanging", point], pass_fds=[device], check=True
        )
        try:
            yield
        finally:
            os.close(device)
            device = -1
            subprocess.run(["umount", "--lazy", point], check=True)
    finally:
        if device >= 0:
            os.close(device)
