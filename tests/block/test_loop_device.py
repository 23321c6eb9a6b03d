"""A loop device of ours is gone when its block is left, though somebody else had it open meanwhile."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge.disk.loopdevice import read_only_loop
from castcore.edge.run import run
from castcore.units import MIB

from tests.support.images import blank

pytestmark = pytest.mark.root


def test_who_looks_at_all_disks_does_not_make_the_file_look_in_use(tmp_path: Path) -> None:
    file = blank(tmp_path / "disk.raw", 4 * MIB)
    with read_only_loop(str(file), Extent(MIB, MIB)) as device:
        looking = os.open(device, os.O_RDONLY)
        begun = threading.Event()

        def look() -> None:
            begun.set()
            time.sleep(0.3)
            os.close(looking)

        looker = threading.Thread(target=look)
        looker.start()
        begun.wait()
    assert str(file) not in run(["losetup", "--list"], timeout=30).decode()
    looker.join()
