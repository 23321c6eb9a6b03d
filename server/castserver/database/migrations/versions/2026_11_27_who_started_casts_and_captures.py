"""Who started casts and captures; parts by the time of their last change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "bcff9c0d0387"
down_revision = "5b0c7d92e3af"


def upgrade() -> None:
    """From the schema of the revision before."""
    for table in ("captures", "casts"):
        with op.batch_alter_table(table) as change:
            change.add_column(sa.Column("made_by", sa.String(80), server_default="", nullable=False))
    with op.batch_alter_table("parts") as change:
        change.create_index(change.f("ix_parts_changed"), ["changed"])
