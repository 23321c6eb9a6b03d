"""Restarting and switching off the machine the client has booted."""

from __future__ import annotations

import os

from castcore.control import OrderKind
from castcore.edge import run

_TIMEOUT = 30.0


def leave(kind: OrderKind) -> None:
    """Restart or switch off at once, everything written first. Raises FleetcastError if it cannot.

    Our init is no service manager, so the kernel is asked directly (reboot(2), ``-f``).
    """
    os.sync()
    program = "poweroff" if kind is OrderKind.POWER_OFF else "reboot"
    run.run(["busybox", program, "-f"], timeout=_TIMEOUT)
