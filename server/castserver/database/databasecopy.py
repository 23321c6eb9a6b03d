"""Every row of one database into another, of whichever kinds: moves, and backups of a server's database.

The copy is one transaction: the target has everything or is as it was. What was moved away is marked, so
that no server starts from it any more; a later move back may fill it again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from castcore.errors import Refused
from sqlalchemy import delete, func, insert, select
from sqlalchemy.engine import Connection

from castserver.database import postgres, schema, sqlitefile
from castserver.database.databaseplace import Place, PostgresPlace
from castserver.database.openedengine import FAILURES, OpenedEngine
from castserver.database.tables import Base, SettingRow
from castserver.moments import utc

MOVED = "database-moved"
ROWS_AT_ONCE = 500
_TABLES = Base.metadata.sorted_tables


@dataclass(frozen=True, slots=True)
class Passfiles:
    """The files with the passwords for both ends of a copy."""

    source: Path | None = None
    target: Path | None = None


def move(source: Place, target: Place, passfiles: Passfiles) -> dict[str, int]:
    """Copy everything, and mark ``source`` as moved; how many rows of each table.

    No server may use either. Raises InUse, NotFound, Refused (``target`` holds something; ``source`` was
    moved away itself) and what opening them does.
    """
    old = _opened(source, passfiles.source, new=False)
    try:
        new = _opened(target, passfiles.target)
        try:
            with _told(old), _told(new):
                with old.engine.connect() as reading, new.engine.begin() as writing:
                    _require_here(reading, old.name)
                    _require_free(writing, new.name)
                    rows = _copy(reading, writing)
                with old.engine.begin() as marking:
                    _mark(marking, new.name)
        finally:
            new.engine.dispose()
    finally:
        old.engine.dispose()
    return rows


def save_to_file(place: PostgresPlace, passfile: Path | None, path: Path) -> None:
    """Copy the database at ``place``, which a server may use, to the new SQLite file ``path``.

    Raises DatabaseAway, Refused, NotFound, DiskFailed, NoSpace.
    """
    new = sqlitefile.open_file(path)
    try:
        engine = postgres.reading_engine(place, passfile)
        with _told(new), new.engine.begin() as writing:
            try:
                with engine.connect() as reading:
                    _require_current(reading, str(place))
                    _require_here(reading, str(place))
                    _copy(reading, writing)
            except FAILURES as error:
                raise postgres.failed(place, error) from None
            finally:
                engine.dispose()
    finally:
        new.engine.dispose()
    sqlitefile.make_single(path)


def load_from_file(path: Path, place: PostgresPlace, passfile: Path | None) -> None:
    """Fill the database at ``place``, which is to be empty, from the SQLite file ``path`` (upgraded)."""
    old = sqlitefile.open_file(path, new=False)
    new = postgres.open_server(place, passfile)
    try:
        with _told(old), _told(new), old.engine.connect() as reading, new.engine.begin() as writing:
            _require_free(writing, new.name)
            _copy(reading, writing)
    finally:
        old.engine.dispose()
        new.engine.dispose()


def refuse_moved(mark: Mapping[str, Any], name: str) -> NoReturn:
    """Tell that the database called ``name`` has the ``mark`` of one that was moved away."""
    where = mark.get("to")
    raise Refused(
        f"the database {name} was copied to {where} at {utc(int(mark['time']))} UTC and is out of date",
        hint=f"use that one: `fleetcast serve --database {where}`",
    )


def _opened(place: Place, passfile: Path | None, *, new: bool = True) -> OpenedEngine:
    if isinstance(place, PostgresPlace):
        return postgres.open_server(place, passfile, new=new)
    return sqlitefile.open_file(place, new=new)


@contextmanager
def _told(opened: OpenedEngine) -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise opened.failed(error) from None


def _copy(reading: Connection, writing: Connection) -> dict[str, int]:
    for table in reversed(_TABLES):
        writing.execute(delete(table))
    counted = {}
    for table in _TABLES:
        counted[table.name] = 0
        rows = reading.execution_options(yield_per=ROWS_AT_ONCE).execute(select(table))
        for some in rows.mappings().partitions(ROWS_AT_ONCE):
            writing.execute(insert(table), [dict(row) for row in some])
            counted[table.name] += len(some)
    return counted


def _require_free(connection: Connection, name: str) -> None:
    """What holds nothing, or only what was moved away, may be filled. Raises Refused."""
    if _moved(connection) is not None:
        return
    held = [t.name for t in _TABLES if connection.scalar(select(func.count()).select_from(t))]
    if held:
        raise Refused(
            f"the database {name} is a server's own: it has rows in {', '.join(held[:3])}",
            hint="name an empty one",
        )


def _require_current(connection: Connection, name: str) -> None:
    if schema.is_new(connection, name) or schema.needs_upgrade(connection, name):
        raise Refused(
            f"the database {name} is not of this Fleetcast", hint="start its server once, then try again"
        )


def _require_here(connection: Connection, name: str) -> None:
    mark = _moved(connection)
    if mark is not None:
        refuse_moved(mark, name)


def _moved(connection: Connection) -> Mapping[str, Any] | None:
    return connection.scalar(select(SettingRow.value).where(SettingRow.name == MOVED))


def _mark(connection: Connection, to: str) -> None:
    value = {"to": to, "time": int(time.time())}
    connection.execute(insert(SettingRow), {"name": MOVED, "value": value})
