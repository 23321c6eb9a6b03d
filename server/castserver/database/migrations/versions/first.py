"""The schema before it had revisions.

A database that an older Fleetcast made has these tables already, or those that it knew of: what is
missing is made, as that Fleetcast would have at its next start.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0a6c2f41d7b3"
down_revision = None

tables = sa.MetaData()

sa.Table(
    "audit",
    tables,
    sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("time", sa.BigInteger(), nullable=False),
    sa.Column("who", sa.String(80), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("action", sa.String(300), nullable=False),
    sa.Column("detail", sa.String(), nullable=False),
    sa.Column("outcome", sa.String(), nullable=False),
    sa.Column("chain", sa.String(64), nullable=False),
)
sa.Table(
    "boot_once",
    tables,
    sa.Column("machine", sa.String(32), primary_key=True),
    sa.Column("slot", sa.String(16), primary_key=True),
    sa.Column("order", sa.String(64), nullable=False),
    sa.Column("image", sa.String(100), nullable=False),
    sa.Column("size", sa.BigInteger(), nullable=False),
    sa.Column("changed", sa.BigInteger(), nullable=False),
    sa.Column("form", sa.String(16), nullable=False),
    sa.Column("since", sa.BigInteger(), nullable=False),
)
sa.Table(
    "casts",
    tables,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("image", sa.String(255), nullable=False),
    sa.Column("root", sa.String(64), nullable=False),
    sa.Column("after", sa.String(16), nullable=False),
    sa.Column("start_clients", sa.Integer(), nullable=True),
    sa.Column("keep_open", sa.Boolean(), nullable=False),
    sa.Column("update", sa.Boolean(), nullable=False),
    sa.Column("targets", sa.JSON(), nullable=True),
    sa.Column("options", sa.JSON(), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("message", sa.String(), nullable=False),
    sa.Column("created", sa.BigInteger(), nullable=False),
    sa.Column("started", sa.BigInteger(), nullable=True),
    sa.Column("ended", sa.BigInteger(), nullable=True),
)
sa.Table(
    "lease_rules",
    tables,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("everyone", sa.Boolean(), nullable=False),
)
sa.Table(
    "leases",
    tables,
    sa.Column("interface", sa.String(64), primary_key=True),
    sa.Column("address", sa.String(15), primary_key=True),
    sa.Column("mac", sa.String(17), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("expires", sa.BigInteger(), nullable=False),
    sa.Column("booted", sa.Boolean(), nullable=False),
)
sa.Table(
    "ledgers",
    tables,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("serial", sa.String(127), nullable=False),
    sa.Column("sequence", sa.BigInteger(), nullable=False),
    sa.Column("mark", sa.String(64), nullable=False),
    sa.Column("changed", sa.BigInteger(), nullable=False),
)
sa.Table(
    "machines",
    tables,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("registration", sa.JSON(), nullable=False),
    sa.Column("token_hash", sa.String(64), nullable=False, index=True),
    sa.Column("boots", sa.String(16), nullable=False),
    sa.Column("orders_given", sa.BigInteger(), nullable=False),
    sa.Column("first_seen", sa.BigInteger(), nullable=False),
    sa.Column("last_seen", sa.BigInteger(), nullable=False),
)
sa.Table(
    "reservations",
    tables,
    sa.Column("mac", sa.String(17), primary_key=True),
    sa.Column("address", sa.String(15), nullable=False, unique=True),
)
sa.Table(
    "settings",
    tables,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.JSON(), nullable=False),
)
sa.Table(
    "tokens",
    tables,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("made_by", sa.String(80), nullable=False),
    sa.Column("created", sa.BigInteger(), nullable=False),
    sa.Column("expires", sa.BigInteger(), nullable=False),
)
sa.Table(
    "users",
    tables,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("password", sa.String(255), nullable=False),
    sa.Column("changed", sa.BigInteger(), nullable=False),
)
sa.Table(
    "captures",
    tables,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("machine", sa.String(32), sa.ForeignKey("machines.id"), nullable=False),
    sa.Column("image", sa.String(255), nullable=False),
    sa.Column("disks", sa.JSON(), nullable=False),
    sa.Column("options", sa.JSON(), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("message", sa.String(), nullable=False),
    sa.Column("created", sa.BigInteger(), nullable=False),
    sa.Column("ended", sa.BigInteger(), nullable=True),
    sa.Column("root", sa.String(64), nullable=False),
    sa.Column("stored", sa.BigInteger(), nullable=False),
)
sa.Table(
    "durable",
    tables,
    sa.Column("machine", sa.String(32), sa.ForeignKey("machines.id"), primary_key=True),
    sa.Column("target", sa.String(255), primary_key=True),
    sa.Column("root", sa.String(64), nullable=False),
    sa.Column("chunks", sa.LargeBinary(), nullable=False),
    sa.Column("changed", sa.BigInteger(), nullable=False),
)
sa.Table(
    "licence_uses",
    tables,
    sa.Column("cast", sa.String(32), sa.ForeignKey("casts.id"), primary_key=True),
    sa.Column("machine", sa.String(32), sa.ForeignKey("machines.id"), primary_key=True),
    sa.Column("ledger", sa.String(32), sa.ForeignKey("ledgers.id"), nullable=False),
    sa.Column("image", sa.String(255), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("changed", sa.BigInteger(), nullable=False),
)
sa.Table(
    "licences",
    tables,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("ledger", sa.String(32), sa.ForeignKey("ledgers.id"), nullable=False),
)
sa.Table(
    "parts",
    tables,
    sa.Column("cast", sa.String(32), sa.ForeignKey("casts.id"), primary_key=True),
    sa.Column("machine", sa.String(32), sa.ForeignKey("machines.id"), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("message", sa.String(), nullable=False),
    sa.Column("report", sa.JSON(), nullable=True),
    sa.Column("changed", sa.BigInteger(), nullable=False),
)


def upgrade() -> None:
    """Make every table that is not there."""
    tables.create_all(op.get_bind(), checkfirst=True)
