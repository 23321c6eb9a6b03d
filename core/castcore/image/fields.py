"""Checked values of a manifest: each raises TypeError or ValueError for what does not belong there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from castcore.trust import DIGEST_SIZE

# Byte positions stay below this, so that they fit every signed 64-bit offset.
POSITION_LIMIT = 1 << 62


def listed(value: Any) -> Sequence[Any]:
    """A list."""
    if not isinstance(value, list):
        raise TypeError(f"a {type(value).__name__} where a list belongs")
    return value


def text(value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} where a text belongs")
    return value


def whole(value: Any) -> int:
    """A whole number from 0 to the largest position."""
    if type(value) is not int or not 0 <= value < POSITION_LIMIT:
        raise ValueError(f"{str(value)[:40]} where a whole number belongs")
    return value


def hex_digest(value: Any) -> bytes:
    """A digest, given in hex."""
    digest = bytes.fromhex(text(value))
    if len(digest) != DIGEST_SIZE:
        raise ValueError(f"a digest of {len(digest)} bytes")
    return digest
