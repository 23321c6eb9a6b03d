"""Connections to a PostgreSQL database, and the lock that keeps a second server out of it.

One connection does everything and holds an advisory lock (PostgreSQL manual, 13.3.5): no transaction of
a server is ever without it, and when it breaks the next one takes the lock before anything else.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import socket
import ssl
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pg8000
from castcore.errors import Busy, InUse, NotFound
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from castserver.database.databaseplace import PostgresPlace, Tls, password_for

# A server that says nothing for so long is away, and for a while nobody waits for it again.
ANSWER_SECONDS = 5.0
REST_SECONDS = 10.0
# What a server that has just ended holds is free by then.
LOCK_SECONDS = 5.0
ROOTS_HINT = "name the file with its authority's certificates (PEM) by sslrootcert= in the URL"
# The server finds within 35 s that our machine is gone; a commit is on its disk when it returns.
_SESSION = """SELECT set_config('tcp_keepalives_idle', '20', false),
 set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false),
 set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false)"""
_LOCK = "SELECT pg_try_advisory_lock(%s, %s)"
_HOLDER = """SELECT pid, application_name, coalesce(host(client_addr), 'its own machine')
 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted
 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
 AND classid = %s AND objid = %s"""
_LOCK_CLASS = int.from_bytes(b"Flee")


class DatabaseAway(Busy):
    """The database's server cannot be reached, or the connection to it broke."""

    advice = "look at that server and the network between; calls succeed again once it answers"


@dataclass
class Link:
    """How connections to ``place`` are made; ``alone``: each holds the lock."""

    place: PostgresPlace
    passfile: Path | None
    alone: bool
    name: str = field(
        default_factory=lambda: f"fleetcast {socket.gethostname()[:40]} {secrets.token_hex(4)}"
    )
    _rest_until: float = 0.0

    def engine(self, seconds: float = ANSWER_SECONDS, *, patient: bool = False) -> Engine:
        """Of one connection, whose answers may take ``seconds``; ``patient``: waits for the lock.

        Connecting raises DatabaseAway, InUse, NotFound and Refused (of the files named) as well.
        """
        made = create_engine(
            "postgresql+pg8000://",
            creator=partial(self._connect, seconds, patient=patient),
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_timeout=3 * ANSWER_SECONDS,
        )
        event.listen(made, "handle_error", _note_lost)
        # It writes how closing what is broken failed, too.
        logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
        return made

    def _connect(self, seconds: float, *, patient: bool) -> Any:
        began = time.monotonic()
        if began < self._rest_until:
            raise DatabaseAway(f"the database {self.place} does not answer")
        try:
            made = self._reach(seconds)
        except Exception:
            if time.monotonic() - began >= min(seconds, ANSWER_SECONDS):
                self._rest_until = time.monotonic() + REST_SECONDS
            raise
        try:
            made.autocommit = True
            _ask(made, _SESSION)
            if self.alone:
                self._hold(made, LOCK_SECONDS if patient else 0.0)
            made.autocommit = False
        except BaseException:
            made.close()
            raise
        return made

    def _reach(self, seconds: float) -> Any:
        place = self.place
        try:
            made = pg8000.connect(
                place.user,
                host=place.host,
                port=place.port,
                unix_sock=place.socket or None,
                database=place.database,
                password=password_for(place, self.passfile) or "",
                ssl_context=_tls(place),
                timeout=seconds,
                application_name=self.name,
            )
        except pg8000.Error as error:
            raise _said(error) from error.__cause__
        # No text of PostgreSQL holds a NUL.
        made.register_out_adapter(str, lambda text: text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
        return made

    def _hold(self, made: Any, seconds: float) -> None:
        (schema,) = _ask(made, "SELECT current_schema()")
        key = int.from_bytes(hashlib.sha256(str(schema).encode()).digest()[:4]) >> 1
        end = time.monotonic() + seconds
        ghosts = time.monotonic() + LOCK_SECONDS
        while not _ask(made, _LOCK, _LOCK_CLASS, key)[0]:
            holder = _ask(made, _HOLDER, _LOCK_CLASS, key)
            if holder is None and time.monotonic() < ghosts:
                continue  # whoever held it has ended just now
            pid, name, address = holder or (0, "", "an unknown place")
            if name == self.name and time.monotonic() < ghosts:
                # Our own connection, which broke at our end alone.
                _ask(made, "SELECT pg_terminate_backend(%s)", pid)
            elif time.monotonic() >= end:
                raise InUse(
                    f"another server uses the database {self.place}: {name or 'one'} at {address}",
                    hint="stop it, or give this one a database of its own; where that machine has lost"
                    " its power, try again in half a minute",
                )
            time.sleep(0.05)


def code_of(error: object) -> str:
    """The SQLSTATE (PostgreSQL manual, appendix A) of an engine's or driver's error; "" without one."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    about = cause.args[0] if isinstance(cause, Exception) and cause.args else None
    return str(about.get("C", "")) if isinstance(about, dict) else ""


def _said(error: BaseException) -> BaseException:
    """What the server said: where it closed the connection then, the driver's own farewell hides it."""
    below: BaseException | None = error
    while below is not None and not code_of(below):
        below = below.__context__
    return below or error


def is_lost(error: Exception) -> bool:
    """Whether the connection broke, but not for want of an answer: a new one may do."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, OSError) and not isinstance(error, TimeoutError)


def _note_lost(context: ExceptionContext) -> None:
    """The driver lets the system's errors through, and knows no end that the server announced."""
    error = context.original_exception
    if isinstance(error, OSError) or code_of(error).startswith(("57P", "08")):
        context.is_disconnect = True


def _tls(place: PostgresPlace) -> ssl.SSLContext | bool | None:
    if place.socket or place.tls is Tls.DISABLE:
        return False
    if place.tls is Tls.VERIFY:
        try:
            return ssl.create_default_context(cafile=place.roots or None)
        except OSError as error:
            raise NotFound(f"{place.roots} has no certificates: {error}", hint=ROOTS_HINT) from None
    return True if place.tls is Tls.REQUIRE else None


def _ask(made: Any, question: str, *values: object) -> Any:
    """The first row of an answer; None without one."""
    cursor = made.cursor()
    try:
        cursor.execute(question, values)
        return cursor.fetchone()
    finally:
        cursor.close()
