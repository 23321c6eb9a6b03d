"""One line of a file of machines: which machine it is of, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from castcore.errors import Refused

from castserver.machines.machinecard import (
    Card,
    checked_name,
    checked_note,
    checked_words,
    is_id,
)
from castserver.machines.machinecsv import (
    GROUPS,
    ID,
    MACS,
    NAME,
    NOTE,
    SERIAL,
    TAGS,
    UUID,
    Problem,
    Row,
    split,
)
from castserver.machines.machineentry import Identity, checked_macs, checked_serial, checked_uuid

T = TypeVar("T")
_NONE: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line understood: ``id`` is "" when it has none; ``card`` holds what its columns say of the card.

    A column that the file has not leaves what was; an empty cell of the card takes it away.
    """

    number: int
    id: str
    name: str
    identity: Identity
    card: dict[str, Any]

    def on(self, card: Card) -> Card:
        """``card`` as this line leaves it."""
        return replace(card, **self.card)


class _Cells:
    """The cells of one row, checked; what is wrong is among ``problems``."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self.problems: list[Problem] = []

    def take(self, column: str, checked: Callable[[str], T], none: T) -> T:
        """The checked value of ``column``; ``none`` where it cannot be one."""
        try:
            return checked(self._row.cells.get(column, ""))
        except Refused as error:
            self.problems.append(Problem(self._row.line, column, error.what))
            return none


def understood(row: Row) -> tuple[Line, list[Problem]]:
    """What ``row`` says, and everything that is wrong with it."""
    cells = _Cells(row)
    identity = Identity(
        cells.take(MACS, _macs, _NONE),
        cells.take(UUID, checked_uuid, ""),
        cells.take(SERIAL, checked_serial, ""),
    )
    card = {
        NAME: cells.take(NAME, checked_name, ""),
        GROUPS: cells.take(GROUPS, partial(_words, "group"), _NONE),
        TAGS: cells.take(TAGS, partial(_words, "tag"), _NONE),
        NOTE: cells.take(NOTE, checked_note, ""),
    }
    given = {column: value for column, value in card.items() if column in row.cells}
    line = Line(row.line, cells.take(ID, _id, ""), str(card[NAME]), identity, given)
    return line, cells.problems


def _macs(cell: str) -> tuple[str, ...]:
    return checked_macs(split(cell))


def _words(what: str, cell: str) -> tuple[str, ...]:
    return checked_words(what, split(cell))


def _id(cell: str) -> str:
    name = cell.strip()
    if name and not is_id(name):
        raise Refused(f"{name[:40]!r} is no machine's id: leave it empty")
    return name
