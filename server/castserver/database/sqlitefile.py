"""A database in a file (SQLite): opened, brought to the newest schema, copied."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from castcore.edge.image.store import sync_directory, writing_to
from castcore.errors import DiskFailed, FleetcastError, NoSpace, Refused
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, StaticPool

from castserver.database import schema
from castserver.database.openedengine import COPY_HINT, OpenedEngine

# WAL: readers and the writer do not wait for each other; FULL: a commit survives a power cut.
_LASTING = ("journal_mode=WAL", "synchronous=FULL")
WAIT_SECONDS = 30


def open_file(path: Path, *, new: bool = True) -> OpenedEngine:
    """The database in the file ``path``, made or upgraded when need be.

    Raises DiskFailed, NoSpace, Refused (a newer Fleetcast's, another program's; not there and not to be
    ``new``).
    """
    if not new and not path.exists():
        raise Refused(f"there is no database {path}, and this server has one", hint=COPY_HINT)
    engine = create_engine(_url(path), connect_args={"timeout": WAIT_SECONDS})
    event.listen(engine, "connect", _set_up)
    try:
        _upgrade(path)
    except DBAPIError as error:
        raise failed(str(path), error) from None
    return _opened(engine, str(path))


def open_memory() -> OpenedEngine:
    """A database that lives as long as its engine, without a schema."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _set_up)
    return _opened(engine, "in memory")


def failed(name: str, error: Exception) -> FleetcastError:
    """What ``error`` is to the operator."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    full = getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
    kind = NoSpace if full else DiskFailed
    return kind(
        f"the database {name} failed: {cause}",
        hint="check its disk for space and errors, and that no other server uses its directory",
    )


def copy(source: Path, target: Path) -> None:
    """Copy the database ``source``, in use or not, to the file ``target``: complete or absent.

    Raises DiskFailed, NoSpace.
    """
    part = target.with_name(f".{target.name}.part")
    with writing_to(target.parent, "another place"):
        part.unlink(missing_ok=True)
        try:
            # Made by us, so that nobody else can read it meanwhile.
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            _copy(source, part)
            with part.open("rb") as copied:
                os.fsync(copied.fileno())
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_directory(target.parent)


def make_single(path: Path) -> None:
    """Let the database ``path``, which nobody uses, need no write-ahead log beside it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def copy_before_upgrade(path: Path) -> Path:
    """Where the database in ``path`` was copied to before it was upgraded last."""
    return path.with_name(f"{path.name}.before-upgrade")


def _copy(source: Path, target: Path) -> None:
    try:
        with (
            closing(
                sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=WAIT_SECONDS)
            ) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
            # One file: the copy needs no write-ahead log beside it.
            new.execute("PRAGMA journal_mode=DELETE")
            (health,) = new.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error as error:
        kind = NoSpace if error.sqlite_errorcode == sqlite3.SQLITE_FULL else DiskFailed
        raise kind(f"{source} cannot be copied: {error}") from None
    if health != "ok":
        raise DiskFailed(f"{source} is damaged: {health}", hint="use an older backup")


def _opened(engine: Engine, name: str) -> OpenedEngine:
    return OpenedEngine(engine, name, partial(failed, name), lambda _: False, "BINARY")


def _url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def _upgrade(path: Path) -> None:
    """In one transaction, which a crash undoes; what is not empty is copied before."""
    engine = create_engine(_url(path), poolclass=NullPool)
    event.listen(engine, "connect", _set_up_upgrade)
    event.listen(engine, "begin", _begin)
    with engine.begin() as connection:
        if not schema.needs_upgrade(connection, str(path)):
            return
        if not schema.is_new(connection, str(path)):
            copy(path, copy_before_upgrade(path))
        schema.upgrade(connection)
        lost = connection.execute(text("PRAGMA foreign_key_check")).first()
        if lost is not None:
            raise DiskFailed(f"{path} is damaged: a row of {lost[0]} points nowhere")


def _set_up(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    _pragmas(connection, *_LASTING, "foreign_keys=ON")


def _set_up_upgrade(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver begins no transaction before a change of the schema; we do. A table that is made anew
    # is gone for a moment: its rows' references are checked at the end.
    connection.isolation_level = None
    _pragmas(connection, f"busy_timeout={WAIT_SECONDS * 1000}", *_LASTING, "foreign_keys=OFF")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _pragmas(connection: DBAPIConnection, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
