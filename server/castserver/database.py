"""The one door to the database: every call is one transaction, durable when it returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Select, inspect, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

from castserver import sqlitefile
from castserver.tables import Base

RowT = TypeVar("RowT", bound="Base")


class Database:
    """The one door to the tables above; each call is one transaction. Raises NoSpace, DiskFailed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    @classmethod
    def at(cls, path: Path) -> Database:
        """The SQLite database in the file ``path``, made when it is not there, upgraded when it is old.

        Raises DiskFailed, NoSpace, Refused (a newer Fleetcast's, another program's).
        """
        return cls(sqlitefile.engine_at(path))

    @classmethod
    def in_memory(cls) -> Database:
        """A database that lives as long as this object."""
        engine = sqlitefile.engine_in_memory()
        Base.metadata.create_all(engine)
        return cls(engine)

    def all(self, row: type[RowT]) -> Sequence[RowT]:
        """Every row of one table, detached, in the order of their primary keys."""
        return self.find(select(row).order_by(*row.__table__.primary_key))

    def find(self, chosen: Select[RowT]) -> Sequence[RowT]:
        """The rows that ``chosen`` selects, detached."""
        try:
            with self._sessions() as session:
                return session.scalars(chosen).all()
        except DBAPIError as error:
            raise sqlitefile.failed(self._engine, error) from None

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
            raise sqlitefile.failed(self._engine, error) from None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()
