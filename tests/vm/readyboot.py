"""Seconds from power-on until a PC says something on its serial console, over the lab's boot chain."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from tests.vm.firmware import Firmware
from tests.vm.lab import lab
from tests.vm.machine import PC

READY = re.compile(r"state=ready")
PATIENCE_SECONDS = 180.0


def seconds_until(
    said: re.Pattern[str], tree: Path, firmware: Firmware, *, memory: int, folder: Path
) -> float:
    """Seconds until a PC with ``memory`` MiB that boots from ``tree`` has ``said`` it.

    Logs stay in ``folder``. Raises AssertionError with the last lines when it never does.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    with lab(folder, images=folder / "images", tree=tree, say=lambda _line: None) as running:
        powered = running.power_on(PC("pc", 1, firmware, memory=memory))
        if powered.serial.wait(said, PATIENCE_SECONDS) is None:
            raise AssertionError(f"never said {said.pattern}: {powered.serial.tail()}")
        return time.monotonic() - powered.powered_on
