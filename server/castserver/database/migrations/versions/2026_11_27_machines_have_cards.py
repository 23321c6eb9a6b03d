"""machines have cards"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "efe19576d3b4"
down_revision = "a8e584c1b069"


def upgrade() -> None:
    """From the schema of the revision before."""
    op.create_table(
        "machine_cards",
        sa.Column("machine", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("met", sa.Boolean(), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["machine"],
            ["machines.id"],
        ),
        sa.PrimaryKeyConstraint("machine"),
    )
