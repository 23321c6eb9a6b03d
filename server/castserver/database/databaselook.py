"""How it stands with a database, looked at beside a server that may run; nothing is changed."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from castcore.doctor import DatabaseFact
from castcore.errors import FleetcastError
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

from castserver.database import postgres, schema, sqlitefile
from castserver.database.databaseplace import Place, PostgresPlace
from castserver.database.openedengine import FAILURES

# Reading every page of a large file takes its time; locks are not waited for so long as a server does.
CHECK_SECONDS = 20.0
WAIT_SECONDS = 5.0
_STEPS = 10_000
_BACKUP = "stop the server and bring a backup back (`fleetcast restore-state`)"


def look_at_database(
    place: Place, passfile: Path | None, *, held: bool, seconds: float = CHECK_SECONDS
) -> DatabaseFact:
    """The facts of the database at ``place``, a file read for ``seconds`` at most.

    ``held``: a server has it open now.
    """
    name = str(place)
    try:
        if isinstance(place, PostgresPlace):
            found = _revision(postgres.reading_engine(place, passfile), name)
            return _fact(name, found, file=False)
        if not place.exists():
            return DatabaseFact(name, missing=True)
        return _file(place, _uri(place, held=held), seconds)
    except FleetcastError as error:
        return DatabaseFact(name, fault=error.what, remedy=error.hint)
    except FAILURES as error:
        if isinstance(place, PostgresPlace):
            told = postgres.failed(place, error)
        else:
            told = sqlitefile.failed(name, error)
        return DatabaseFact(name, fault=told.what, remedy=told.hint)


def _uri(path: Path, *, held: bool) -> str:
    """Nobody's file is read as it is: a usual reader would make a log's index beside it."""
    alone = not held and not path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro" + ("&immutable=1" if alone else "")


def _file(path: Path, uri: str, seconds: float) -> DatabaseFact:
    name = str(path)
    fault, unchecked = _health(uri, seconds)
    if fault:
        return DatabaseFact(name, fault=f"{name} is damaged: {fault}", remedy=_BACKUP)
    engine = create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=NullPool
    )
    found = _revision(engine, name)
    return _fact(name, found, unchecked)


def _fact(name: str, revision: str | None, unchecked: str = "", *, file: bool = True) -> DatabaseFact:
    if revision is None:
        return DatabaseFact(name, missing=True, file=file)
    return DatabaseFact(name, file=file, revision=revision, newest=schema.newest(), unchecked=unchecked)


def _health(uri: str, seconds: float) -> tuple[str, str]:
    """What is wrong with the file, and why that is not known (SQLite, PRAGMA quick_check)."""
    end = time.monotonic() + seconds
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY):
            return "", f"reading all of it takes longer than {seconds:g} s"
        return str(error), ""
    except sqlite3.DatabaseError as error:
        return str(error), ""
    return ("", "") if health == "ok" else (str(health), "")


def _revision(engine: Engine, name: str) -> str | None:
    """That of the schema, "" from before there was one, None when the database is empty.

    Raises Refused when it is a newer Fleetcast's, or another program's.
    """
    try:
        with engine.connect() as connection:
            schema.needs_upgrade(connection, name)
            empty = schema.is_new(connection, name)
            return None if empty else schema.revision(connection) or ""
    finally:
        engine.dispose()
