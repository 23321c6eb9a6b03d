"""Which machines the operator lets in, and the key that a machine's token goes with.

Tokens of before have no key: those clients register anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "dd1f800dfb90"
down_revision = "0a6c2f41d7b3"


def upgrade() -> None:
    """From the schema of the revision before."""
    op.create_table(
        "machine_trust",
        sa.Column("machine", sa.String(32), sa.ForeignKey("machines.id"), primary_key=True),
        sa.Column("approval", sa.String(16), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
    )
