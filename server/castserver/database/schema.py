"""The schema of a database and its revisions: which one it has, and how it comes to the newest.

``castserver/database/migrations/versions`` has one file for each revision. A database without one is
new, or was made by a Fleetcast that knew none; the first revision takes both. There is no way back:
a backup or the copy beside the database is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from castcore.errors import Refused
from sqlalchemy import inspect
from sqlalchemy.engine import Connection

MIGRATIONS = Path(__file__).with_name("migrations")
VERSION_TABLE = "schema_revision"
# One that every Fleetcast has had.
_OWN = "machines"


def configured() -> dict[str, Any]:
    """What every use of Alembic here is configured with."""
    return {
        "version_table": VERSION_TABLE,
        # SQLite changes a table by making it anew.
        "render_as_batch": True,
        "compare_type": True,
    }


def configuration(connection: Connection) -> Config:
    """Alembic's, for its commands on ``connection``."""
    config = Config(attributes={"connection": connection})
    # Alembic's values have "%" for its own use.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


def scripts() -> ScriptDirectory:
    """Every revision."""
    return ScriptDirectory(str(MIGRATIONS))


def newest() -> str:
    """The revision that ``tables`` is."""
    head = scripts().get_current_head()
    assert head is not None
    return head


def revision(connection: Connection) -> str | None:
    """That of the database; None when it has none."""
    return MigrationContext.configure(connection, opts=configured()).get_current_revision()


def is_new(connection: Connection, name: str) -> bool:
    """Whether the database called ``name`` holds nothing. Raises Refused: another program's tables."""
    tables = set(inspect(connection).get_table_names())
    if tables and not tables & {_OWN, VERSION_TABLE}:
        raise Refused(
            f"{name} is another program's: it has a table {min(tables)}",
            hint="give Fleetcast a database of its own",
        )
    return not tables


def needs_upgrade(connection: Connection, name: str) -> bool:
    """Whether the database called ``name`` is older than this program.

    Raises Refused when it is newer, or another program's.
    """
    is_new(connection, name)
    now = revision(connection)
    if now is None:
        return True
    known = {script.revision for script in scripts().walk_revisions()}
    if now not in known:
        raise Refused(
            f"{name} belongs to a newer Fleetcast: this one does not know its revision {now}",
            hint="run that Fleetcast, or bring a backup of before its update back",
        )
    return now != newest()


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest revision, within the caller's transaction."""
    command.upgrade(configuration(connection), "head")
