"""A database on a PostgreSQL server: opened, brought to the newest schema, its errors explained."""

from __future__ import annotations

import logging
import ssl
from functools import partial
from pathlib import Path

from castcore.errors import DiskFailed, FleetcastError, NoSpace, NotFound, Refused, Untrusted
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from castserver.database import schema
from castserver.database.databaseplace import PostgresPlace
from castserver.database.openedengine import COPY_HINT, FAILURES, OpenedEngine
from castserver.database.postgreslink import ROOTS_HINT, DatabaseAway, Link, code_of, is_lost

UPGRADE_SECONDS = 600.0

log = logging.getLogger("fleetcast")


def open_server(
    place: PostgresPlace, passfile: Path | None, *, alone: bool = True, new: bool = True
) -> OpenedEngine:
    """The database at ``place``, its tables made or upgraded when need be; ``alone``: for us only.

    Raises DatabaseAway, InUse (another server has it), NotFound, Refused (no access, another program's,
    a newer Fleetcast's, or empty and not to be ``new``), Untrusted (not proven), DiskFailed, NoSpace.
    """
    link = Link(place, passfile, alone=alone)
    first = link.engine(UPGRADE_SECONDS, patient=True)
    try:
        with first.begin() as connection:
            _require_sound(connection, place)
            if schema.is_new(connection, str(place)) and not new:
                raise Refused(f"the database {place} is empty, and this server has one", hint=COPY_HINT)
            if schema.needs_upgrade(connection, str(place)):
                schema.upgrade(connection)
        first.dispose()
        engine = link.engine()
        # Now: the lock is held from here on.
        engine.connect().close()
    except FAILURES as error:
        raise failed(place, error) from None
    finally:
        first.dispose()
    return OpenedEngine(engine, str(place), partial(failed, place), is_lost, "C")


def reading_engine(place: PostgresPlace, passfile: Path | None) -> Engine:
    """Each of its transactions reads one moment's state, beside a server that may run."""
    engine = Link(place, passfile, alone=False).engine()
    return engine.execution_options(isolation_level="REPEATABLE READ")


def failed(place: PostgresPlace, error: Exception) -> FleetcastError:
    """What ``error`` is to the operator."""
    name, code = f"the database {place}", code_of(error)
    reason = _reason(error)
    if isinstance(error.orig if isinstance(error, DBAPIError) else error, ssl.SSLCertVerificationError):
        return Untrusted(f"the server of {name} is not proven: {reason}", hint=ROOTS_HINT)
    if code.startswith("28"):
        return Refused(
            f"{name} does not let {place.user} in: {reason}",
            hint="give the password by $PGPASSFILE; see also pg_hba.conf there",
        )
    if code == "3D000":
        return NotFound(f"{name} does not exist", hint=f"createdb -O {place.user} {place.database}")
    if code in ("53100", "53200"):
        return NoSpace(f"{name} failed: {reason}", hint="make room on its server")
    if code.startswith("22") or code in ("42501", "25006"):
        return Refused(f"{name} does not take that: {reason}", hint="its server's log may tell more")
    if not code or code.startswith(("08", "53", "57")):
        return DatabaseAway(f"{name} cannot be reached: {reason}")
    return DiskFailed(f"{name} failed: {reason}", hint="its server's log may tell more")


def _reason(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    about = cause.args[0] if isinstance(cause, Exception) and cause.args else None
    if isinstance(about, dict):
        return str(about.get("M", about))
    below = cause.__cause__ if cause is not None else None
    return f"{cause}" + (f" ({below})" if below else "")


def _require_sound(connection: Connection, place: PostgresPlace) -> None:
    """Its texts can be anything, and what is committed outlives its machine's power."""
    encoding, fsync = connection.exec_driver_sql(
        "SELECT current_setting('server_encoding'), current_setting('fsync')"
    ).one()
    if encoding != "UTF8":
        raise Refused(
            f"the database {place} keeps texts as {encoding}", hint="make it with `createdb -E UTF8`"
        )
    if fsync != "on":
        log.warning("the server of %s runs with fsync=off: a power cut may damage it", place)
