"""Sizes in bytes, rounding with a direction, and how people read them (binary units)."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_STEPS = ((1 << 40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` not below ``value``."""
    return -(-value // multiple) * multiple


def round_down(value: int, multiple: int) -> int:
    """The largest multiple of ``multiple`` not above ``value``."""
    return value // multiple * multiple


def human(size: int) -> str:
    """``size`` bytes for a person: ``"3.7 GiB"``; exact below one KiB."""
    for step, name in _STEPS:
        if abs(size) >= step:
            return f"{size / step:.1f} {name}"
    return f"{size} B"


def exactly(size: int) -> str:
    """``size`` bytes for a person and to the byte: ``"3.7 GiB (4000787030 bytes)"``."""
    return f"{human(size)} ({size} bytes)" if size >= KIB else f"{size} bytes"
