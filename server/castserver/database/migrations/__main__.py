"""``python -m castserver.database.migrations WORDS``, for developers: write the missing revision."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from alembic import command
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from castcore.errors import Refused
from sqlalchemy import create_engine

from castserver.database.schema import configuration, upgrade


def write(message: str) -> None:
    """A file in ``versions``, to be read and corrected by hand. Raises Refused: nothing to write."""
    with create_engine("sqlite://").begin() as connection:
        upgrade(connection)
        config = configuration(connection)
        config.set_main_option("file_template", f"{datetime.now(UTC):%Y_%m_%d}_%%(slug)s")
        command.revision(
            config, message, autogenerate=True, process_revision_directives=_require_changes
        )


def _require_changes(
    _context: MigrationContext,
    _revision: str | Iterable[str | None] | Iterable[str],
    made: list[MigrationScript],
) -> None:
    if all(script.upgrade_ops is None or script.upgrade_ops.is_empty() for script in made):
        raise Refused("the tables are as the newest revision has them")


if __name__ == "__main__":
    write(" ".join(sys.argv[1:]))
