"""casts have turns"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "6d92f1ab4c70"
down_revision = "3e71b4c8a05d"


def upgrade() -> None:
    """From the schema of the revision before."""
    with op.batch_alter_table("casts", schema=None) as casts:
        casts.add_column(sa.Column("most_at_once", sa.Integer(), nullable=True))
