"""What must survive a restart, as tables: machines, casts, parts in casts, leases, licences, accounts.

Live figures (progress, rates) are not here: a client tells them again within a second. The schema is
plain SQL types only, so that any database SQLAlchemy speaks to will do.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


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


class MachineCardRow(Base):
    """What people say of a machine. ``met``: it registered once; ``removed``: when, if it was."""

    __tablename__ = "machine_cards"

    machine: Mapped[str] = mapped_column(ForeignKey("machines.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    note: Mapped[str] = mapped_column(String(500))
    tags: Mapped[list[str]] = mapped_column(JSON)
    groups: Mapped[list[str]] = mapped_column(JSON)
    met: Mapped[bool]
    removed: Mapped[int | None] = mapped_column(BigInteger)


class MachineTrustRow(Base):
    """What the operator said of a machine, and the public key (hex) that its token goes with.

    ``denied_keys``: those (hex) of others that said they are this machine, and were denied.
    """

    __tablename__ = "machine_trust"

    machine: Mapped[str] = mapped_column(ForeignKey("machines.id"), primary_key=True)
    approval: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(64))
    denied_keys: Mapped[list[str]] = mapped_column(JSON)
    changed: Mapped[int] = mapped_column(BigInteger)


class CastRow(Base):
    """One cast: what was asked (until ``options``), and how it stands.

    ``disk_rules``: a rule file of its own, "" for none. ``start_after``: seconds after ``first_joined``,
    when its first machine joined. ``most_at_once``: no more machines at a time, None: all.
    """

    __tablename__ = "casts"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    image: Mapped[str] = mapped_column(String(255))
    root: Mapped[str] = mapped_column(String(64))
    after: Mapped[str] = mapped_column(String(16))
    start_clients: Mapped[int | None]
    start_after: Mapped[int | None]
    most_at_once: Mapped[int | None]
    keep_open: Mapped[bool]
    update: Mapped[bool]
    targets: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    message: Mapped[str]
    made_by: Mapped[str] = mapped_column(String(80), server_default="")
    created: Mapped[int] = mapped_column(BigInteger)
    started: Mapped[int | None] = mapped_column(BigInteger)
    ended: Mapped[int | None] = mapped_column(BigInteger)
    first_joined: Mapped[int | None] = mapped_column(BigInteger)
    disk_rules: Mapped[str]


class PartRow(Base):
    """One machine's part in one cast; ``report`` is the last one that changed its state."""

    __tablename__ = "parts"

    cast: Mapped[str] = mapped_column(ForeignKey("casts.id"), primary_key=True)
    machine: Mapped[str] = mapped_column(ForeignKey("machines.id"), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    message: Mapped[str]
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    changed: Mapped[int] = mapped_column(BigInteger, index=True)


class DurableRow(Base):
    """What is durable of the image ``root`` on a machine's disk ``target`` (an encoded ChunkSet)."""

    __tablename__ = "durable"

    machine: Mapped[str] = mapped_column(ForeignKey("machines.id"), primary_key=True)
    target: Mapped[str] = mapped_column(String(1023), primary_key=True)
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
    made_by: Mapped[str] = mapped_column(String(80), server_default="")
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
