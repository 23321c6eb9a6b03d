"""Blocks of a live page: templates filled, and kept for as long as what they show stays the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Kept(Generic[V]):
    """HTML by the id of a block, made anew only where its value is another than the last time."""

    def __init__(self, make: Callable[[V], str]) -> None:
        self._make = make
        self._last: dict[str, tuple[V, str]] = {}
        self._now: dict[str, tuple[V, str]] = {}

    def html(self, block: str, value: V) -> str:
        """The HTML of ``value``."""
        known = self._last.get(block)
        self._now[block] = (
            known if known is not None and known[0] == value else (value, self._make(value))
        )
        return self._now[block][1]

    def turn(self) -> None:
        """All blocks of this drawing have been asked for; those that were not are forgotten."""
        self._last, self._now = self._now, {}
