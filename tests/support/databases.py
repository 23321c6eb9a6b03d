"""The one door of the tests to a server's database: SQLite, or PostgreSQL where the run asks for it.

``FLEETCAST_TEST_DATABASE=postgresql pytest ...`` lets every test that comes through here use databases
of one private PostgreSQL server. They are copies of one with the tables, and emptied after each test.
"""

from __future__ import annotations

import os
from functools import partial
from itertools import count
from pathlib import Path

from castserver.database import postgres
from castserver.database.database import Database
from castserver.database.databaseplace import Place, PostgresPlace
from castserver.database.openedengine import OpenedEngine
from castserver.database.postgreslink import Link, is_lost
from castserver.database.tables import Base
from sqlalchemy import text

from tests.support.postgrescluster import Cluster

VARIABLE = "FLEETCAST_TEST_DATABASE"
POSTGRES = os.environ.get(VARIABLE, "sqlite") == "postgresql"
TEMPLATE = "template_fleetcast"


class _Databases:
    """The databases of one cluster: free ones, and those that the test under way has."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.cluster.start()
        self._numbers = count()
        self._free: list[PostgresPlace] = []
        self._used: dict[PostgresPlace, list[Database]] = {}
        self._kept: dict[Path, PostgresPlace] = {}
        self._admin = Link(self.cluster.place("postgres"), None, alone=False).engine()
        self._execute(f"CREATE DATABASE {TEMPLATE}")
        Database.at(self.cluster.place(TEMPLATE)).close()

    def place(self, path: Path) -> PostgresPlace:
        """That of the test's database which SQLite would have in the file ``path``."""
        if path not in self._kept:
            self._kept[path] = self._take()
        return self._kept[path]

    def at(self, path: Path) -> Database:
        place = self.place(path)
        self._used[place].append(Database.at(place, alone=False))
        return self._used[place][-1]

    def fresh(self) -> Database:
        place = self._take()
        link = Link(place, None, alone=False)
        made = Database(
            OpenedEngine(link.engine(), str(place), partial(postgres.failed, place), is_lost, "C")
        )
        self._used[place].append(made)
        return made

    def give_back(self) -> None:
        """Empty what the test had, for the next."""
        tables = [f'DELETE FROM "{table.name}"' for table in reversed(Base.metadata.sorted_tables)]
        for place, opened in self._used.items():
            for database in opened:
                database.close()
            engine = Link(place, None, alone=False).engine()
            with engine.begin() as connection:
                for command in tables:
                    connection.exec_driver_sql(command)
            engine.dispose()
            self._free.append(place)
        self._used.clear()
        self._kept.clear()

    def _take(self) -> PostgresPlace:
        if not self._free:
            name = f"test{next(self._numbers)}"
            self._execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
            self._free.append(self.cluster.place(name))
        place = self._free.pop()
        self._used[place] = []
        return place

    def _execute(self, command: str) -> None:
        with self._admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(command))


_databases: _Databases | None = None


def begin() -> None:
    """At the start of a run, from its main thread: where PostgreSQL is asked for, start it."""
    global _databases  # noqa: PLW0603 - one server to a run
    if POSTGRES and _databases is None:
        _databases = _Databases()


def end() -> None:
    """At the end of a run."""
    global _databases  # noqa: PLW0603
    if _databases is not None:
        _databases.cluster.remove()
        _databases = None


def give_back() -> None:
    """After every test."""
    if _databases is not None:
        _databases.give_back()


def fresh() -> Database:
    """An empty database that the test has for itself."""
    return _databases.fresh() if _databases is not None else Database.in_memory()


def at(path: Path) -> Database:
    """The test's database ``path``, opened: again and again the same."""
    return _databases.at(path) if _databases is not None else Database.at(path)


def place(path: Path) -> Place:
    """Where that is."""
    return _databases.place(path) if _databases is not None else path
