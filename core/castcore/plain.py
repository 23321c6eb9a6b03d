"""Frozen dataclasses as plain JSON values and back, checked against their own annotations.

Knows what our messages are made of: str, int, bool, enums, nested dataclasses, ``tuple[T, ...]`` and
``T | None``. Whatever does not fit raises BadPacket, so that a parsed message can be trusted to hold
the types it declares; unknown fields are refused, missing ones take their default.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from castcore.errors import BadPacket

T = TypeVar("T")
MOST_ITEMS = 65536  # longest tuple taken from the network: partitions of a disk, disks, lines of log
MOST_BITS = 64  # every count, size and offset we exchange is an unsigned 64-bit number


def to_plain(value: Any) -> Any:
    """``value`` (a dataclass of the kinds above) as JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(cls: type[T], value: Any) -> T:
    """The ``cls`` that ``value`` spells. Raises BadPacket, naming the field that does not fit."""
    return typing.cast(T, _read(cls, value, cls.__name__))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _read(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(typing.cast(type, kind), value, where)
    origin = typing.get_origin(kind)
    if origin is tuple:
        return _read_tuple(typing.get_args(kind)[0], value, where)
    if origin is types.UnionType:
        inner = next(k for k in typing.get_args(kind) if k is not types.NoneType)
        return None if value is None else _read(inner, value, where)
    return _read_scalar(kind, value, where)


def _read_dataclass(cls: type, value: Any, where: str) -> Any:
    hints = _hints(cls)
    if not isinstance(value, dict) or not value.keys() <= hints.keys():
        raise BadPacket(f"{where}: not the fields of {cls.__name__}")
    fields = {name: _read(hints[name], inner, f"{where}.{name}") for name, inner in value.items()}
    try:
        return cls(**fields)
    except (TypeError, ValueError) as error:
        raise BadPacket(f"{where}: {error}") from None


def _read_tuple(kind: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or len(value) > MOST_ITEMS:
        raise BadPacket(f"{where}: not a list of at most {MOST_ITEMS}")
    return tuple(_read(kind, item, f"{where}[{i}]") for i, item in enumerate(value))


def _read_scalar(kind: type, value: Any, where: str) -> Any:
    if issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError:
            raise BadPacket(f"{where}: not a {kind.__name__}: {value!r:.40}") from None
    if type(value) is not kind:
        raise BadPacket(f"{where}: not a {kind.__name__}: {value!r:.40}")
    if isinstance(value, int) and not 0 <= value < 1 << MOST_BITS:
        raise BadPacket(f"{where}: not an unsigned {MOST_BITS}-bit number")
    return value
