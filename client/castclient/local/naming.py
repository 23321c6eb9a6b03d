"""What a captured image is called unless somebody types another name. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from castcore.control import Machine
from castcore.image import NAME

_ODD = re.compile(r"[^A-Za-z0-9]+")
_MOST_PART = 30


def default_name(machine: Machine, day: str, taken: Collection[str] = ()) -> str:
    """Model, serial number and ``day`` (2026-11-27), with a number behind it where that is taken."""
    known = (machine.product or machine.vendor or "machine", machine.serial or machine.board_serial)
    words = (_ODD.sub("-", part)[:_MOST_PART].strip("-") for part in known)
    name = "-".join(filter(None, (*words, day))) or "machine"
    count, wanted = 1, name
    while wanted in taken:
        count += 1
        wanted = f"{name}-{count}"
    return wanted


def is_name(text: str) -> bool:
    """Whether an image can be called ``text``."""
    return NAME.fullmatch(text) is not None
