"""A server's database moved to PostgreSQL and back, saved and brought back to either."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from castcore.errors import InUse, Refused
from castserver.__main__ import main
from castserver.database import databasecopy
from castserver.database.database import Database
from castserver.database.databasecopy import Passfiles, move
from castserver.database.databaseplace import PostgresPlace
from castserver.database.postgreslink import DatabaseAway
from castserver.database.statedatabase import open_database, place_in
from castserver.database.tables import Base, MachineRow
from castserver.state.statebackup import SECRETS, back_up, bring_back
from sqlalchemy import func, select

from tests.support.postgresplaces import HIDDEN, cluster, engine_of, names, place, setting, values
from tests.unit.test_server_schema import OLD

__all__ = ["cluster", "place"]  # fixtures


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """The state directory of a server with a filled database."""
    state = tmp_path / "state"
    state.mkdir()
    for name in SECRETS:
        (state / name).write_text(f"content of {name}")
    with closing(sqlite3.connect(state / "server.sqlite")) as connection:
        connection.executescript(OLD)
    return state


def everything(database: Database) -> dict[str, Any]:
    found = {m.class_.__tablename__: values(database.all(m.class_)) for m in Base.registry.mappers}
    database.close()
    return found


def command(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fleetcast", *map(str, words)])
        return main()


def test_a_server_moves_to_postgresql_and_back(
    filled: Path, place: PostgresPlace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(open_database(filled, None, None))
    with pytest.raises(Refused, match="is empty, and this server has one") as refused:
        open_database(filled, str(place), None)
    assert "database copy" in refused.value.hint
    assert command("database", "copy", filled, place) == 0
    assert everything(open_database(filled, str(place), None)) == before
    # From now on it is that one, and what was left behind starts nobody.
    assert place_in(filled) == place
    with pytest.raises(Refused, match=r"was copied to .* and is out of date"):
        open_database(filled, "sqlite", None)
    database = open_database(filled, None, None)
    database.save(setting("done there"))
    with pytest.raises(InUse):
        move(place, filled / "server.sqlite", Passfiles())
    database.close()
    with pytest.raises(Refused, match="is out of date"):
        move(filled / "server.sqlite", place, Passfiles())
    assert command("database", "copy", place, filled) == 0
    with pytest.raises(Refused, match="out of date"):
        open_database(filled, str(place), None)
    back = open_database(filled, "sqlite", None)
    assert "done there" in names(back)
    back.close()
    assert place_in(filled) == filled / "server.sqlite"
    assert HIDDEN not in capsys.readouterr().out


def test_a_database_that_was_wiped_becomes_no_new_servers(tmp_path: Path, place: PostgresPlace) -> None:
    open_database(tmp_path, str(place), None).close()
    open_database(tmp_path, None, None).close()
    with engine_of(place).begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    with pytest.raises(Refused, match="is empty, and this server has one") as refused:
        open_database(tmp_path, None, None)
    assert "backup" in refused.value.hint


def test_a_move_that_breaks_changes_neither_end(
    filled: Path, place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = databasecopy._copy

    def copied_and_broken(reading: Any, writing: Any) -> Any:
        copied(reading, writing)
        raise DatabaseAway("the cable was pulled")

    monkeypatch.setattr(databasecopy, "_copy", copied_and_broken)
    with pytest.raises(DatabaseAway, match="cable"):
        move(filled / "server.sqlite", place, Passfiles())
    monkeypatch.undo()
    with engine_of(place).connect() as connection:
        assert connection.scalar(select(func.count()).select_from(MachineRow)) == 0
    move(filled / "server.sqlite", place, Passfiles())


def test_a_backup_comes_back_to_either(filled: Path, place: PostgresPlace, tmp_path: Path) -> None:
    move(filled / "server.sqlite", place, Passfiles())
    running = open_database(filled, str(place), None)
    running.save(setting("later"))
    backup = back_up(filled, tmp_path / "backup.tar.gz")
    running.save(setting("too late"))
    running.close()
    assert bring_back(tmp_path / "backup.tar.gz", tmp_path / "file") == backup
    as_file = everything(open_database(tmp_path / "file", None, None))
    assert [row["name"] for row in as_file["settings"]] == ["audit-anchor", "later"]
    with pytest.raises(Refused, match="it has rows in"):
        bring_back(tmp_path / "backup.tar.gz", tmp_path / "server", place)
    assert list((tmp_path / "server").iterdir()) == []
    with engine_of(place).begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    assert (
        command(
            "restore-state",
            tmp_path / "backup.tar.gz",
            "--state",
            tmp_path / "server",
            "--database",
            place,
        )
        == 0
    )
    assert everything(open_database(tmp_path / "server", None, None)) == as_file
    assert not (tmp_path / "server/server.sqlite").exists()
