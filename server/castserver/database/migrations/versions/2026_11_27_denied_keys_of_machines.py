"""The keys of those who said that they are a machine, and were denied."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3e71b4c8a05d"
down_revision = "bcff9c0d0387"


def upgrade() -> None:
    """From the schema of the revision before."""
    with op.batch_alter_table("machine_trust", schema=None) as trust:
        trust.add_column(sa.Column("denied_keys", sa.JSON(), nullable=False, server_default="[]"))
