"""casts have disk rules"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "5b0c7d92e3af"
down_revision = "2aaa5bffa9f5"


def upgrade() -> None:
    """From the schema of the revision before."""
    with op.batch_alter_table("casts", schema=None) as casts:
        casts.add_column(sa.Column("disk_rules", sa.String(), nullable=False, server_default=""))
