"""casts start after a time"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "a8e584c1b069"
down_revision = "dd1f800dfb90"


def upgrade() -> None:
    """From the schema of the revision before."""
    with op.batch_alter_table("casts", schema=None) as casts:
        casts.add_column(sa.Column("start_after", sa.Integer(), nullable=True))
        casts.add_column(sa.Column("first_joined", sa.BigInteger(), nullable=True))
