"""Which database the server of a state directory uses: what it was told, and from then on again.

The file ``database`` in the directory says it: ``sqlite``, the file beside it, or a URL. So a backup
finds it, and a server that was moved is not started from what was left behind.
"""

from __future__ import annotations

from pathlib import Path

from castcore.edge.image.store import writing_to
from castcore.edge.net.identity import write_secret
from castcore.errors import DiskFailed
from sqlalchemy import select

from castserver.database.database import Database
from castserver.database.databasecopy import MOVED, refuse_moved
from castserver.database.databaseplace import SQLITE, Place, PostgresPlace, parse_place
from castserver.database.tables import SettingRow

RECORD = "database"


def place_in(state: Path, given: str | None = None) -> Place:
    """Where the database of ``state`` is: as ``given``, or as before. Raises Refused, DiskFailed."""
    return parse_place(given or _recorded(state), state)


def open_database(state: Path, given: str | None, passfile: Path | None) -> Database:
    """The database of the server with ``state``, opened and remembered.

    Raises what Database.at does, and Refused: it was moved away, or is empty while the server has one.
    """
    place, before = place_in(state, given), place_in(state)
    has_one = isinstance(before, PostgresPlace) or before.exists()
    database = Database.at(place, passfile, new=not has_one)
    try:
        for row in database.find(select(SettingRow).where(SettingRow.name == MOVED)):
            refuse_moved(row.value, database.name)
        if place != before:
            record(state, place)
    except BaseException:
        database.close()
        raise
    return database


def record(state: Path, place: Place) -> None:
    """Remember the place. Raises NoSpace, DiskFailed."""
    text = str(place) if isinstance(place, PostgresPlace) else SQLITE
    with writing_to(state, "another --state"):
        write_secret(state / RECORD, text.encode())


def _recorded(state: Path) -> str:
    try:
        return (state / RECORD).read_text().strip() or SQLITE
    except FileNotFoundError:
        return SQLITE
    except (OSError, UnicodeDecodeError) as error:
        raise DiskFailed(f"{state / RECORD} cannot be read: {error}") from None
