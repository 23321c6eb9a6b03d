"""The one door to the database: every call is one transaction, durable when it returns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from castcore.errors import DiskFailed, FleetcastError, NoSpace
from sqlalchemy import (
    Row,
    Select,
    create_engine,
    event,
    inspect,
    select,
)
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from castserver.tables import Base

AT_ONCE = 1000
RowT = TypeVar("RowT", bound="Base")


class Database:
    """The one door to the tables above; each call is one transaction. Raises NoSpace, DiskFailed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        try:
            Base.metadata.create_all(engine)
        except DBAPIError as error:
            raise _failed(engine, error) from None

    @classmethod
    def at(cls, path: Path) -> Database:
        """The SQLite database in the file ``path``, made when it is not there. Raises DiskFailed."""
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
        event.listen(engine, "connect", _set_up_sqlite)
        return cls(engine)

    @classmethod
    def in_memory(cls) -> Database:
        """A database that lives as long as this object."""
        return cls(
            create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        )

    def all(self, row: type[RowT]) -> Sequence[RowT]:
        """Every row of one table, detached, in the order of their primary keys."""
        return self.find(select(row).order_by(*row.__table__.primary_key))

    def find(self, chosen: Select[RowT]) -> Sequence[RowT]:
        """The rows that ``chosen`` selects, detached."""
        try:
            with self._sessions() as session:
                return session.scalars(chosen).all()
        except DBAPIError as error:
            raise _failed(self._engine, error) from None

    def rows(self, chosen: Select[Any]) -> Sequence[Row[Any]]:
        """What ``chosen`` selects, as tuples with names."""
        return list(self.each(chosen))

    def each(self, chosen: Select[Any]) -> Iterator[Row[Any]]:
        """The same, a few at a time, all of one moment; read it to its end soon."""
        try:
            with self._sessions() as session:
                yield from session.execute(chosen, execution_options={"yield_per": AT_ONCE})
        except DBAPIError as error:
            raise _failed(self._engine, error) from None

    def save(self, *rows: Base, gone: Sequence[Base] = ()) -> None:
        """Insert or update ``rows`` and remove those ``gone``, all or nothing, durably."""
        try:
            with self._sessions.begin() as session:
                for row in gone:
                    found = session.get(type(row), inspect(row).mapper.primary_key_from_instance(row))
                    if found is not None:
                        session.delete(found)
                session.flush()  # before the rest: an address may have moved from one row to another
                for row in rows:
                    session.merge(row)
        except DBAPIError as error:
            raise _failed(self._engine, error) from None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _set_up_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    # WAL: readers and the writer do not wait for each other; FULL: a commit survives a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _failed(engine: Engine, error: DBAPIError) -> FleetcastError:
    full = getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
    kind = NoSpace if full else DiskFailed
    return kind(
        f"the database {engine.url.render_as_string()} failed: {error.orig}",
        hint="check its disk for space and errors, and that no other server uses its directory",
    )
