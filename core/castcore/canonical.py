"""Canonical JSON: one value has exactly one encoding, so that it can be hashed and signed.

UTF-8, keys sorted by code point, no white space, no floats (RFC 8785's integers-only subset).
"""

from __future__ import annotations

import json
from typing import Any

from castcore.errors import BadPacket

MAX_DEPTH = 32
_PLAIN = frozenset((int, str, bool))


def encode(value: Any) -> bytes:
    """The canonical encoding of ``value`` (None, bool, int, str, list/tuple, dict with str keys).

    Raises TypeError for a float or any other type: that is our own mistake, not bad input.
    """
    _check(value, 0)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode(data: bytes, *, limit: int) -> Any:
    """The value of ``data``, at most ``limit`` bytes. Raises BadPacket for anything else."""
    if len(data) > limit:
        raise BadPacket(f"a JSON value of {len(data)} bytes is over its limit of {limit}")
    try:
        value = json.loads(data.decode("utf-8"), parse_float=_no_float, parse_constant=_no_float)
        _check(value, 0)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadPacket(f"not canonical JSON: {error}") from None
    return value


def _no_float(text: str) -> Any:
    raise ValueError(f"a float, {text[:20]}")


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise TypeError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key that is no string: {key!r}")
            _check(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            # Lists of a million numbers stand in manifests: no call for each.
            if type(inner) not in _PLAIN:
                _check(inner, depth + 1)
    elif value is not None and not isinstance(value, bool | int | str):
        raise TypeError(f"a {type(value).__name__}")
