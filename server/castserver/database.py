"""What must survive a restart: machines, casts, each machine's part in each cast, leases.

Live figures (progress, rates) are not here: a client tells them again within a second. The schema is
plain SQL types only, so that any database SQLAlchemy speaks to will do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from castcore.errors import DiskFailed, FleetcastError, NoSpace
from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Select,
    String,
    create_engine,
    event,
    inspect,
    select,
)
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

RowT = TypeVar("RowT", bound="Base")


class Base(DeclarativeBase):
    """The schema. Times are whole seconds since 1970, UTC."""


class MachineRow(Base):
    """One machine ever met; ``registration`` is the last one it sent."""

    __tablename__ = "machines"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    registration: Mapped[dict[str, Any]] = mapped_column(JSON)
    token_hash: Mapped[str] = mapped_column(String(64), index=True)
    boots: Mapped[str] = mapped_column(String(16))
    orders_given: Mapped[int] = mapped_column(BigInteger)
    first_seen: Mapped[int] = mapped_column(BigInteger)
    last_seen: Mapped[int] = mapped_column(BigInteger)


class CastRow(Base):
    """One cast: what was asked (until ``options``), and how it stands."""

    __tablename__ = "casts"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    image: Mapped[str] = mapped_column(String(255))
    root: Mapped[str] = mapped_column(String(64))
    after: Mapped[str] = mapped_column(String(16))
    start_clients: Mapped[int | None]
    keep_open: Mapped[bool]
    update: Mapped[bool]
    targets: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    message: Mapped[str]
    created: Mapped[int] = mapped_column(BigInteger)
    started: Mapped[int | None] = mapped_column(BigInteger)
    ended: Mapped[int | None] = mapped_column(BigInteger)


class PartRow(Base):
    """One machine's part in one cast; ``report`` is the last one that changed its state."""

    __tablename__ = "parts"

    cast: Mapped[str] = mapped_column(ForeignKey("casts.id"), primary_key=True)
    machine: Mapped[str] = mapped_column(ForeignKey("machines.id"), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    message: Mapped[str]
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    changed: Mapped[int] = mapped_column(BigInteger)


class DurableRow(Base):
    """What is durable of the image ``root`` on a machine's disk ``target`` (an encoded ChunkSet)."""

    __tablename__ = "durable"

    machine: Mapped[str] = mapped_column(ForeignKey("machines.id"), primary_key=True)
    target: Mapped[str] = mapped_column(String(255), primary_key=True)
    root: Mapped[str] = mapped_column(String(64))
    chunks: Mapped[bytes]
    changed: Mapped[int] = mapped_column(BigInteger)


class CaptureRow(Base):
    """One capture of a machine's disks to the library: what was asked, and how it stands."""

    __tablename__ = "captures"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    machine: Mapped[str] = mapped_column(ForeignKey("machines.id"))
    image: Mapped[str] = mapped_column(String(255))
    disks: Mapped[list[str]] = mapped_column(JSON)
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    message: Mapped[str]
    created: Mapped[int] = mapped_column(BigInteger)
    ended: Mapped[int | None] = mapped_column(BigInteger)
    root: Mapped[str] = mapped_column(String(64))
    stored: Mapped[int] = mapped_column(BigInteger)


class SettingRow(Base):
    """One thing that the operator chose, by its ``name``."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[dict[str, Any]] = mapped_column(JSON)


class LeaseRow(Base):
    """An address leased on one of our interfaces, or put aside because somebody else uses it."""

    __tablename__ = "leases"

    interface: Mapped[str] = mapped_column(String(64), primary_key=True)
    address: Mapped[str] = mapped_column(String(15), primary_key=True)
    mac: Mapped[str] = mapped_column(String(17))
    state: Mapped[str] = mapped_column(String(16))
    expires: Mapped[int] = mapped_column(BigInteger)
    booted: Mapped[bool]


class ReservationRow(Base):
    """The address that one machine gets, and no other does."""

    __tablename__ = "reservations"

    mac: Mapped[str] = mapped_column(String(17), primary_key=True)
    address: Mapped[str] = mapped_column(String(15), unique=True)


class LeaseRuleRow(Base):
    """The one row of what else the operator decided about leases."""

    __tablename__ = "lease_rules"

    id: Mapped[int] = mapped_column(primary_key=True)
    everyone: Mapped[bool]


class BootOnceRow(Base):
    """A machine's order to boot an image once, waiting or used."""

    __tablename__ = "boot_once"

    machine: Mapped[str] = mapped_column(String(32), primary_key=True)
    slot: Mapped[str] = mapped_column(String(16), primary_key=True)
    order: Mapped[str] = mapped_column(String(64))
    image: Mapped[str] = mapped_column(String(100))
    size: Mapped[int] = mapped_column(BigInteger)
    changed: Mapped[int] = mapped_column(BigInteger)
    form: Mapped[str] = mapped_column(String(16))
    since: Mapped[int] = mapped_column(BigInteger)


class LedgerRow(Base):
    """The licence ledger ``id`` as it was when this server saw or changed it last."""

    __tablename__ = "ledgers"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    serial: Mapped[str] = mapped_column(String(127))
    sequence: Mapped[int] = mapped_column(BigInteger)
    mark: Mapped[str] = mapped_column(String(64))
    changed: Mapped[int] = mapped_column(BigInteger)


class LicenceRow(Base):
    """The one ledger that the licence ``id`` was seen in."""

    __tablename__ = "licences"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    ledger: Mapped[str] = mapped_column(ForeignKey("ledgers.id"))


class LicenceUseRow(Base):
    """The licence of ``ledger`` that a machine takes for a cast; ``state`` is a ``UseState``."""

    __tablename__ = "licence_uses"

    cast: Mapped[str] = mapped_column(ForeignKey("casts.id"), primary_key=True)
    machine: Mapped[str] = mapped_column(ForeignKey("machines.id"), primary_key=True)
    ledger: Mapped[str] = mapped_column(ForeignKey("ledgers.id"))
    image: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16))
    changed: Mapped[int] = mapped_column(BigInteger)


class UserRow(Base):
    """Somebody who may log in; ``password`` is an Argon2id hash."""

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[str] = mapped_column(String(255))
    changed: Mapped[int] = mapped_column(BigInteger)


class TokenRow(Base):
    """A script's token; ``hash`` is the SHA-256 of its secret, hex."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    made_by: Mapped[str] = mapped_column(String(80))
    created: Mapped[int] = mapped_column(BigInteger)
    expires: Mapped[int] = mapped_column(BigInteger)


class AuditRow(Base):
    """One thing that somebody did; ``chain`` is a hash over it and all before it, hex."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    time: Mapped[int] = mapped_column(BigInteger)
    who: Mapped[str] = mapped_column(String(80))
    role: Mapped[str] = mapped_column(String(16))
    address: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(300))
    detail: Mapped[str]
    outcome: Mapped[str]
    chain: Mapped[str] = mapped_column(String(64))


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
