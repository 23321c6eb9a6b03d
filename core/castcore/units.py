"""Sizes in bytes, rounding with a direction, and how people read and write them (binary units)."""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_STEPS = ((1 << 40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"k": KIB, "m": MIB, "g": GIB, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """The bytes that ``text`` names: ``"500"``, ``"64 GiB"``, ``"500GB"`` (10^9), ``"64G"`` (2^30).

    Without ``B`` a letter is binary, as in truncate(1). Raises ValueError when it names none.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size")
    number, letter, binary = found[1], (found[2] or "").lower(), found[3]
    if not letter:
        step = 1
    else:
        decimal = found[0][-1] in "bB" and not binary
        step = (_DECIMAL if decimal else _BINARY)[letter]
    whole, _, part = number.partition(".")
    return int(whole) * step + (int(part) * step // 10 ** len(part) if part else 0)


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
