"""Restarting and switching off the machine the client has booted."""

from __future__ import annotations

import ctypes
import os

from castcore.control import OrderKind
from castcore.errors import FleetcastError

# reboot(2): the first process of our boot environment is no service manager that could be asked.
_CODES = {OrderKind.REBOOT: 0x01234567, OrderKind.POWER_OFF: 0x4321FEDC}


def leave(kind: OrderKind) -> None:
    """Restart or switch off at once, everything written first. Raises FleetcastError if refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.sync()
    if libc.reboot(ctypes.c_uint(_CODES[kind])) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise FleetcastError(f"the kernel refuses to {kind}: {reason}", hint="switch the machine off")
