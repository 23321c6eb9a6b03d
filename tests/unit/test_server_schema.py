"""The schema's revisions: what the tables say, and nothing of an older database is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from castcore.errors import DiskFailed, ExitCode, Refused
from castserver.database import schema, sqlitefile
from castserver.database.database import Database
from castserver.database.migrations.__main__ import write
from castserver.database.sqlitefile import copy_before_upgrade
from castserver.database.tables import AuditRow, Base, CastRow, DurableRow, MachineRow
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection

pytestmark = pytest.mark.sqlite

# What the last Fleetcast without revisions made, a row and more in every table.
OLD = (Path(__file__).resolve().parents[1] / "golden/server-database.sql").read_text()


def run_sql(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)
        tables = "select name from sqlite_schema where type = 'table' order by name"
        return [
            (name, sorted(connection.execute(f'select * from "{name}"'), key=repr))
            for (name,) in connection.execute(tables).fetchall()
        ]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "server.sqlite"
    run_sql(path, OLD)
    return path


def found_revision(path: Path) -> str | None:
    with create_engine(f"sqlite:///{path}").connect() as connection:
        return schema.revision(connection)


def test_there_is_one_newest_revision_and_one_first() -> None:
    scripts = schema.scripts()
    assert scripts.get_heads() == [schema.newest()]
    assert len(scripts.get_bases()) == 1
    files = [p for p in (schema.MIGRATIONS / "versions").glob("*.py") if p.name != "__init__.py"]
    assert len(list(scripts.walk_revisions())) == len(files)


def test_the_revisions_lead_to_the_tables(tmp_path: Path) -> None:
    Database.at(tmp_path / "server.sqlite").close()
    with create_engine(f"sqlite:///{tmp_path / 'server.sqlite'}").connect() as connection:
        context = MigrationContext.configure(connection, opts=schema.configured())
        assert compare_metadata(context, Base.metadata) == []
    with pytest.raises(Refused, match="as the newest revision"):
        write("nothing to write")


def test_the_golden_database_has_rows_in_every_table_of_the_first_revision(old: Path) -> None:
    scripts = schema.scripts()
    first = scripts.get_revision(scripts.get_base() or "")
    assert first is not None
    rows = dict(run_sql(old, ""))
    assert set(rows) == set(first.module.tables.tables)
    assert all(rows.values())


def test_an_old_database_keeps_its_rows(old: Path) -> None:
    before = dict(run_sql(old, ""))
    database = Database.at(old)
    machines = {row.id: row for row in database.all(MachineRow)}
    assert machines["m4716fe48"].registration["machine"]["product"] == "机 Desk 3"
    assert [row.targets for row in database.all(CastRow)] == [None, ["m4716fe48"]]
    assert [row.chunks for row in database.all(DurableRow)] == [bytes(range(256))]
    assert [row.detail for row in database.all(AuditRow)] == ['{"image": "office"}']
    database.close()
    after = dict(run_sql(old, ""))
    assert {name: len(rows) for name, rows in before.items()} == {
        name: len(after[name]) for name in before
    }
    assert found_revision(old) == schema.newest()
    # The copy is the database of before, and stands alone.
    assert dict(run_sql(copy_before_upgrade(old), "")) == before
    assert copy_before_upgrade(old).stat().st_mode & 0o077 == 0


def test_one_of_an_even_older_fleetcast_gets_what_it_lacks(old: Path) -> None:
    run_sql(old, "DROP TABLE licence_uses; DROP TABLE licences; DROP TABLE ledgers;")
    database = Database.at(old)
    assert len(database.all(MachineRow)) == 2
    database.close()
    assert {"licence_uses", "licences", "ledgers"} <= set(dict(run_sql(old, "")))


def test_what_is_new_is_not_copied_and_what_is_current_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "server.sqlite"
    Database.at(path).close()
    assert not copy_before_upgrade(path).exists()
    before = path.read_bytes()
    Database.at(path).close()
    assert path.read_bytes() == before
    assert not copy_before_upgrade(path).exists()


def test_a_newer_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "server.sqlite"
    Database.at(path).close()
    before = run_sql(path, f"UPDATE {schema.VERSION_TABLE} SET version_num = 'fedcba987654'")
    with pytest.raises(Refused, match=r"newer Fleetcast.*fedcba987654") as refused:
        Database.at(path)
    assert refused.value.exit_code is ExitCode.REFUSED
    assert "backup" in refused.value.hint
    assert run_sql(path, "") == before


def test_another_programs_database_is_refused_untouched(tmp_path: Path) -> None:
    before = run_sql(tmp_path / "other", "CREATE TABLE recipes (name); INSERT INTO recipes VALUES (1)")
    with pytest.raises(Refused, match="another program's: it has a table recipes"):
        Database.at(tmp_path / "other")
    assert run_sql(tmp_path / "other", "") == before


@pytest.mark.parametrize("moment", ["copy", "upgrade"])
def test_an_upgrade_that_fails_changes_nothing_and_is_done_at_the_next_start(
    old: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before = run_sql(old, "")

    upgrade = schema.upgrade

    def fail(*_: object) -> None:
        raise DiskFailed("the power went")

    def upgrade_and_fail(connection: Connection) -> None:
        upgrade(connection)
        fail()

    with monkeypatch.context() as patch:
        if moment == "copy":
            patch.setattr(sqlitefile, "_copy", fail)
        else:
            patch.setattr(schema, "upgrade", upgrade_and_fail)
        with pytest.raises(DiskFailed, match="the power went"):
            Database.at(old)
    assert run_sql(old, "") == before
    assert copy_before_upgrade(old).exists() == (moment == "upgrade")
    assert not list(old.parent.glob(".*"))
    Database.at(old).close()
    assert found_revision(old) == schema.newest()


def test_a_row_that_points_nowhere_is_told(old: Path) -> None:
    run_sql(old, "PRAGMA foreign_keys=OFF; DELETE FROM machines WHERE id = 'm0000beef'")
    with pytest.raises(DiskFailed, match="a row of captures points nowhere"):
        Database.at(old)
