"""The one door to the database: every call is one transaction, durable when it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Row, Select, String, collate, inspect, select
from sqlalchemy.orm import Session, sessionmaker

from castserver.database import postgres, sqlitefile
from castserver.database.bulk import merge
from castserver.database.databaseplace import Place, PostgresPlace
from castserver.database.openedengine import FAILURES, OpenedEngine
from castserver.database.tables import Base

AT_ONCE = 1000
RowT = TypeVar("RowT", bound="Base")
AnswerT = TypeVar("AnswerT")


class Database:
    """The one door to the tables; each call is one transaction.

    Raises NoSpace, DiskFailed; on a server of its own also DatabaseAway, InUse (another server has
    taken it meanwhile) and Refused (a value that it does not keep).
    """

    def __init__(self, opened: OpenedEngine) -> None:
        self._opened = opened
        self._sessions = sessionmaker(opened.engine, expire_on_commit=False)

    @classmethod
    def at(
        cls, place: Place, passfile: Path | None = None, *, alone: bool = True, new: bool = True
    ) -> Database:
        """The database at ``place``, made when it is not there, upgraded when it is old.

        One on a server is for this program ``alone``; ``passfile`` has the password for it. Raises also
        Refused (a newer Fleetcast's, another program's, no access; there is none and it is not to be
        ``new``), NotFound.
        """
        if isinstance(place, PostgresPlace):
            return cls(postgres.open_server(place, passfile, alone=alone, new=new))
        return cls(sqlitefile.open_file(place, new=new))

    @classmethod
    def in_memory(cls) -> Database:
        """A database that lives as long as this object."""
        opened = sqlitefile.open_memory()
        Base.metadata.create_all(opened.engine)
        return cls(opened)

    @property
    def name(self) -> str:
        """Where it is, for people."""
        return self._opened.name

    def all(self, row: type[RowT]) -> Sequence[RowT]:
        """Every row of one table, detached, in the order of their primary keys."""
        keys = row.__table__.primary_key
        sort = (collate(k, self._opened.collation) if isinstance(k.type, String) else k for k in keys)
        return self.find(select(row).order_by(*sort))

    def find(self, chosen: Select[RowT]) -> Sequence[RowT]:
        """The rows that ``chosen`` selects, detached."""

        def read(session: Session) -> Sequence[RowT]:
            return session.scalars(chosen).all()

        return self._do(read)

    def rows(self, chosen: Select[Any]) -> Sequence[Row[Any]]:
        """What ``chosen`` selects, as tuples with names."""

        def read(session: Session) -> Sequence[Row[Any]]:
            return session.execute(chosen).all()

        return self._do(read)

    def each(self, chosen: Select[Any]) -> Iterator[Row[Any]]:
        """The same, a few at a time, all of one moment; read it to its end soon."""
        try:
            with self._sessions.begin() as session:
                yield from session.execute(chosen, execution_options={"yield_per": AT_ONCE})
        except FAILURES as error:
            raise self._opened.failed(error) from None

    def save(self, *rows: Base, gone: Sequence[Base] = ()) -> None:
        """Remove the rows ``gone``, then insert or update ``rows``, in order; all or nothing, durably.

        What is gone goes first because an address may have moved from one row to another.
        """

        def write(session: Session) -> None:
            for row in gone:
                found = session.get(type(row), inspect(row).mapper.primary_key_from_instance(row))
                if found is not None:
                    session.delete(found)
                    session.flush()  # in their order: one may point to the next
            merge(session, rows)

        self._do(write)

    def close(self) -> None:
        """Close every connection."""
        self._opened.engine.dispose()

    def _do(self, work: Callable[[Session], AnswerT]) -> AnswerT:
        """Once more where the connection broke: what was done before is then done again to no effect."""
        try:
            return self._try(work)
        except FAILURES as error:
            if not self._opened.lost(error):
                raise self._opened.failed(error) from None
        try:
            return self._try(work)
        except FAILURES as error:
            raise self._opened.failed(error) from None

    def _try(self, work: Callable[[Session], AnswerT]) -> AnswerT:
        with self._sessions.begin() as session:
            return work(session)
