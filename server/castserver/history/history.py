"""What was written when, on which machine, from which image, by whom started: chosen and paged in SQL.

An entry is one machine's part in one cast, or one capture. Both are read from the tables that the server
keeps anyway, so that the history cannot differ from what happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Select,
    Subquery,
    func,
    literal,
    or_,
    select,
    union,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement

from castserver.database.database import Database
from castserver.database.idlist import ids
from castserver.database.tables import CaptureRow, CastRow, PartRow

MOST_IMAGES = 1000


class Kind(StrEnum):
    """CAST: a disk was written; CAPTURE: one was read."""

    CAST = "cast"
    CAPTURE = "capture"


class HistoryState(StrEnum):
    """How it stands: the words of a `PartState` and a `CaptureState`."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    GONE = "gone"
    CANCELLED = "cancelled"
    QUEUED = "queued"
    ORDERED = "ordered"
    JOINED = "joined"
    CAPTURING = "capturing"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are wanted; what is left out chooses all.

    ``image`` is a name, with or without the place where it was (``library/``, a folder). ``machines``
    are ids. ``since`` and ``before`` bound the moment of the last change, Unix seconds.
    ``text`` stands somewhere in the entry, or the machine is one of ``named``: those whose name has it.
    """

    kind: Kind | None = None
    image: str = ""
    machines: tuple[str, ...] | None = None
    state: HistoryState | None = None
    since: int | None = None
    before: int | None = None
    text: str = ""
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; times are Unix seconds. ``root`` is the digest (hex) that was proven, "" for none."""

    kind: Kind
    id: str
    machine: str
    image: str
    root: str
    state: HistoryState
    message: str
    by: str
    begun: int
    changed: int


class History:
    """The history in the database. Raises DiskFailed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, wanted: Wanted, offset: int, limit: int) -> list[Entry]:
        """At most ``limit`` entries after the first ``offset``, the newest first."""
        return [_entry(row) for row in self._database.rows(_page(wanted, offset, limit))]

    def count(self, wanted: Wanted) -> int:
        """How many there are."""
        found = union_all(*_branches(wanted)).subquery()
        return int(self._database.rows(select(func.count().label("n")).select_from(found))[0].n)

    def each(self, wanted: Wanted) -> Iterator[Entry]:
        """All of them, the newest first, of one moment."""
        for row in self._database.each(_sorted(wanted)):
            yield _entry(row)

    def images(self) -> list[str]:
        """The images there are entries of, by name."""
        named = union(select(CastRow.image.label("image")), select(CaptureRow.image.label("image")))
        rows = self._database.rows(select(named.subquery()).limit(MOST_IMAGES))
        return sorted({row.image.rpartition("/")[2] for row in rows})


def _sorted(wanted: Wanted) -> Select[Any]:
    return _newest_first(union_all(*_branches(wanted)).subquery())


def _page(wanted: Wanted, offset: int, limit: int) -> Select[Any]:
    # No branch has more to give than this: each is cut by its index before they are sorted together.
    most = offset + limit
    cut = [_newest_first(branch.subquery()).limit(most).subquery() for branch in _branches(wanted)]
    found = union_all(*(select(branch) for branch in cut)).subquery()
    return _newest_first(found).offset(offset).limit(limit)


def _newest_first(found: Subquery) -> Select[Any]:
    column = found.c
    return select(found).order_by(column.changed.desc(), column.id, column.machine)


def _branches(wanted: Wanted) -> list[Select[Any]]:
    sources = {Kind.CAST: _casts, Kind.CAPTURE: _captures}
    branches = [make() for kind, make in sources.items() if wanted.kind in (None, kind)]
    return [select(branch).where(*_conditions(branch, wanted)) for branch in branches]


def _casts() -> Subquery:
    begun = func.coalesce(CastRow.started, CastRow.created)
    return (
        select(
            literal(Kind.CAST.value).label("kind"),
            PartRow.cast.label("id"),
            PartRow.machine.label("machine"),
            CastRow.image.label("image"),
            CastRow.root.label("root"),
            PartRow.state.label("state"),
            PartRow.message.label("message"),
            CastRow.made_by.label("by"),
            begun.label("begun"),
            PartRow.changed.label("changed"),
        )
        .join_from(PartRow, CastRow, PartRow.cast == CastRow.id)
        .subquery()
    )


def _captures() -> Subquery:
    changed = func.coalesce(CaptureRow.ended, CaptureRow.created)
    return select(
        literal(Kind.CAPTURE.value).label("kind"),
        CaptureRow.id.label("id"),
        CaptureRow.machine.label("machine"),
        CaptureRow.image.label("image"),
        CaptureRow.root.label("root"),
        CaptureRow.state.label("state"),
        CaptureRow.message.label("message"),
        CaptureRow.made_by.label("by"),
        CaptureRow.created.label("begun"),
        changed.label("changed"),
    ).subquery()


def _conditions(branch: Subquery, wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    column = branch.c
    if wanted.image:
        yield or_(column.image == wanted.image, _ends(column.image, f"/{wanted.image}"))
    if wanted.machines is not None:
        yield column.machine.in_(ids(wanted.machines))
    if wanted.state is not None:
        yield column.state == wanted.state.value
    if wanted.since is not None:
        yield column.changed >= wanted.since
    if wanted.before is not None:
        yield column.changed < wanted.before
    if wanted.text:
        searched = (column.id, column.machine, column.image, column.message, column.by, column.root)
        hits = [one.icontains(wanted.text, autoescape=True) for one in searched]
        yield or_(*hits, column.machine.in_(ids(wanted.named)))


def _ends(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Whether ``column`` ends with ``text`` to the letter: LIKE takes capitals for small ones."""
    return func.substr(column, func.length(column) - (len(text) - 1)) == text


def _entry(row: Any) -> Entry:
    done = row.state == HistoryState.DONE
    return Entry(
        Kind(row.kind),
        row.id,
        row.machine,
        row.image,
        row.root if done else "",
        HistoryState(row.state),
        row.message,
        row.by,
        row.begun,
        row.changed,
    )
