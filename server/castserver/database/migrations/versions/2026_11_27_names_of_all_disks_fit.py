"""A target's name may be as long as its call allows: the names of all disks of an image."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2aaa5bffa9f5"
down_revision = "efe19576d3b4"


def upgrade() -> None:
    """From the schema of the revision before."""
    with op.batch_alter_table("durable") as table:
        table.alter_column("target", existing_type=sa.String(255), type_=sa.String(1023))
