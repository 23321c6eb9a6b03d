"""Pages of a long list: which one is shown, and which can be gone to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pager:
    """Page ``number`` (from 1) of ``pages`` with ``size`` rows each, of ``total`` rows."""

    number: int
    pages: int
    size: int
    total: int

    @classmethod
    def of(cls, asked: str, total: int, size: int) -> Pager:
        """The page that somebody ``asked`` for, else the nearest one there is."""
        pages = max(1, -(-total // size))
        number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 1
        return cls(min(max(number, 1), pages), pages, size, total)

    @property
    def offset(self) -> int:
        """How many rows come before the page."""
        return (self.number - 1) * self.size

    @property
    def first(self) -> int:
        """The number of its first row, counted from 1; 0 when there is none."""
        return self.offset + 1 if self.total else 0

    @property
    def last(self) -> int:
        """The number of its last row."""
        return min(self.offset + self.size, self.total)
