"""A server's database on a real PostgreSQL server: upgraded, held by one, lost and found."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from castcore.errors import ExitCode, FleetcastError, InUse, NotFound, Refused
from castserver.database import schema
from castserver.database.database import Database
from castserver.database.databaselook import look_at_database
from castserver.database.databaseplace import PostgresPlace
from castserver.database.postgreslink import DatabaseAway
from castserver.database.tables import Base, SettingRow
from sqlalchemy import insert, select

from tests.support.postgrescluster import USER, Cluster
from tests.support.postgresplaces import (
    HIDDEN,
    cluster,
    engine_of,
    names,
    place,
    run,
    setting,
    tables_of,
    values,
)
from tests.support.serverlab import ROOT, TOKEN, FakeClient, ServerLab
from tests.unit.test_server_schema import OLD

__all__ = ["cluster", "place"]  # fixtures

# -- the schema -----------------------------------------------------------------------------------


def test_the_revisions_lead_to_the_tables(place: PostgresPlace) -> None:
    Database.at(place).close()
    with engine_of(place).connect() as connection:
        context = MigrationContext.configure(connection, opts=schema.configured())
        assert compare_metadata(context, Base.metadata) == []
        assert schema.revision(connection) == schema.newest()


def test_a_filled_database_of_the_first_revision_keeps_its_rows(
    place: PostgresPlace, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "old")) as connection:
        connection.executescript(OLD)
    before = Database.at(tmp_path / "old")
    fill_first_revision(place, tmp_path / "old")
    after = Database.at(place)
    for mapper in Base.registry.mappers:
        row = mapper.class_
        assert values(before.all(row)) == values(after.all(row)), row
    after.close()


def fill_first_revision(place: PostgresPlace, old: Path) -> None:
    """The tables of the first revision in ``place``, with the rows of the file ``old``."""
    scripts = schema.scripts()
    first = scripts.get_revision(scripts.get_base() or "")
    assert first is not None
    tables = first.module.tables
    source = Database.at(old)._opened.engine
    with source.connect() as reading, engine_of(place).begin() as writing:
        tables.create_all(writing)
        for table in tables.sorted_tables:
            rows = [dict(row) for row in reading.execute(select(table)).mappings()]
            assert rows
            writing.execute(insert(table), rows)


def test_a_newer_and_another_programs_database_are_refused_untouched(
    cluster: Cluster, place: PostgresPlace
) -> None:
    run(cluster, "CREATE TABLE recipes (name text)", place.database)
    with pytest.raises(Refused, match="another program's: it has a table recipes"):
        Database.at(place)
    assert tables_of(place) == 1
    run(cluster, "DROP TABLE recipes", place.database)
    Database.at(place).close()
    run(cluster, f"UPDATE {schema.VERSION_TABLE} SET version_num = 'fedcba987654'", place.database)
    with pytest.raises(Refused, match="newer Fleetcast") as refused:
        Database.at(place)
    assert refused.value.exit_code is ExitCode.REFUSED


def test_an_upgrade_that_fails_leaves_nothing(
    cluster: Cluster, place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = schema.upgrade

    def upgrade_and_fail(connection: Any) -> None:
        upgrade(connection)
        raise NotFound("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "upgrade", upgrade_and_fail)
        with pytest.raises(NotFound):
            Database.at(place)
    assert tables_of(place) == 0
    Database.at(place).close()


# -- what is kept ---------------------------------------------------------------------------------


def test_texts_of_any_kind_are_kept_and_sorted_by_their_code_points(place: PostgresPlace) -> None:
    database = Database.at(place)
    words = ["a", "B", "ä", "-", "Z", "机", "_"]
    database.save(*(setting(word, text="机\u0000\n'\"%s\\") for word in words))
    assert names(database) == sorted(words)
    assert {row.value["text"] for row in database.all(SettingRow)} == {"机\u0000\n'\"%s\\"}
    database.save(setting("nul\0 in a name"))
    assert "nul\N{REPLACEMENT CHARACTER} in a name" in names(database)
    with pytest.raises(Refused, match="too long"):
        database.save(setting("x" * 65))
    assert database.all(SettingRow)
    database.close()


def test_a_commit_is_durable_even_where_the_server_would_not_wait(
    cluster: Cluster, place: PostgresPlace
) -> None:
    run(cluster, f"ALTER DATABASE {place.database} SET synchronous_commit = off")
    with engine_of(place).connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    run(cluster, f"ALTER DATABASE {place.database} SET synchronous_commit = remote_apply")
    with engine_of(place).connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "remote_apply"


# -- one server -----------------------------------------------------------------------------------


def test_the_doctor_sees_an_empty_a_used_and_another_programs_database(
    place: PostgresPlace, cluster: Cluster
) -> None:
    assert look_at_database(place, None, held=False).missing
    database = Database.at(place, None)
    try:
        fact = look_at_database(place, None, held=True)
    finally:
        database.close()
    assert not fact.fault
    assert (fact.file, fact.revision) == (False, fact.newest)
    run(cluster, f"DROP TABLE {', '.join(Base.metadata.tables)}, schema_revision", place.database)
    run(cluster, "CREATE TABLE theirs (a int)", place.database)
    assert "another program" in look_at_database(place, None, held=False).fault


def test_two_servers_never_share_one_database(place: PostgresPlace, cluster: Cluster) -> None:
    first = Database.at(place)
    with pytest.raises(InUse, match=f"another server uses the database .*{place.database}.*fleetcast "):
        Database.at(place)
    other = Database.at(cluster.place("postgres"))
    other.close()
    first.save(setting("still mine"))
    first.close()
    second = Database.at(place)
    assert names(second) == ["still mine"]
    second.close()


def test_a_server_whose_connection_broke_takes_the_lock_back_from_its_ghost(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database.at(place)
    database.save(setting("before"))
    # Our end forgets the connection, the server's does not.
    monkeypatch.setattr("pg8000.legacy.Connection.close", lambda _self: None)
    database._opened.engine.dispose()
    database.save(setting("after"))
    assert names(database) == ["after", "before"]
    monkeypatch.undo()
    database.close()


def test_who_lost_the_database_to_another_server_writes_no_more(
    place: PostgresPlace, cluster: Cluster
) -> None:
    first = Database.at(place)
    first.save(setting("first"))
    # The connection is cut, and another server is quicker.
    run(cluster, f"ALTER DATABASE {place.database} ALLOW_CONNECTIONS false")
    run(cluster, terminate(place))
    with pytest.raises(FleetcastError):
        first.save(setting("not this"))
    run(cluster, f"ALTER DATABASE {place.database} ALLOW_CONNECTIONS true")
    second = Database.at(place)
    for _ in range(2):
        with pytest.raises(InUse):
            first.save(setting("nor this"))
    assert names(second) == ["first"]
    second.close()
    first.save(setting("mine again"))
    first.close()


def terminate(place: PostgresPlace) -> str:
    return (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{place.database}' AND pid <> pg_backend_pid()"
    )


# -- a lost connection ----------------------------------------------------------------------------


def test_a_connection_that_was_cut_is_made_anew_within_the_call(
    place: PostgresPlace, cluster: Cluster
) -> None:
    database = Database.at(place)
    for n in range(3):
        database.save(setting(f"n{n}"))
        run(cluster, terminate(place))
    assert names(database) == ["n0", "n1", "n2"]
    database.close()


def test_a_server_goes_on_while_its_database_is_away(tmp_path: Path) -> None:
    own = Cluster()
    try:
        own.start()
        place = own.place("postgres")
        lab = ServerLab(Database.at(place))
        client = FakeClient(lab, 1).register()
        cast = lab.operator("POST", "/casts", {"image": "lab"})["cast"]
        assert client.join(cast).is_success
        lab.operator("POST", f"/casts/{cast}/start")
        own.stop()
        answer = lab.http.post(
            "/api/v1/casts", json={"image": "lab"}, headers={"Authorization": "Bearer " + TOKEN}
        )
        assert answer.status_code == 503
        assert "cannot be reached" in answer.json()["error"]
        # The cast is in memory and on the air.
        assert lab.senders[0].started
        assert not lab.senders[0].stopped
        client.report("receiving", cast=cast, done=1, total=3)
        assert lab.operator("GET", f"/casts/{cast}")["state"] == "running"
        own.start()
        client.report("done", cast=cast, root=ROOT)
        lab.restart()
        parts = {p["client"]: p["state"] for p in lab.operator("GET", f"/casts/{cast}")["parts"]}
        assert parts == {client.id: "done"}
        lab.database.close()
    finally:
        own.remove()


def test_a_server_that_hangs_fails_the_call_and_soon_the_next(place: PostgresPlace) -> None:
    own = Cluster()
    try:
        own.start()
        database = Database.at(own.place("postgres"))
        database.save(setting("before"))
        own.freeze()
        began = time.monotonic()
        with pytest.raises(DatabaseAway):
            database.save(setting("hangs"))
        with pytest.raises(DatabaseAway):
            database.all(SettingRow)
        assert time.monotonic() - began < 60
        began = time.monotonic()
        with pytest.raises(DatabaseAway, match="does not answer"):
            database.all(SettingRow)
        assert time.monotonic() - began < 4
        own.thaw()
        end = time.monotonic() + 60
        while True:
            try:
                found = names(database)
                break
            except DatabaseAway:
                assert time.monotonic() < end
                time.sleep(0.2)
        assert found in (["before"], ["before", "hangs"])
        database.close()
    finally:
        own.thaw()
        own.remove()


# -- the way in -----------------------------------------------------------------------------------


def by_tcp(place: PostgresPlace, **change: Any) -> PostgresPlace:
    return replace(place, host="127.0.0.1", **change)


def test_the_password_comes_from_a_file_that_others_cannot_read(
    place: PostgresPlace, tmp_path: Path
) -> None:
    file = tmp_path / "pgpass"
    file.write_text(f"# ours\n127.0.0.1:{place.port}:*:{USER}:{HIDDEN}\n")
    file.chmod(0o644)
    with pytest.raises(Refused, match="others may read"):
        Database.at(by_tcp(place), file)
    file.chmod(0o600)
    Database.at(by_tcp(place), file).close()
    file.write_text(f"127.0.0.1:*:*:{USER}:wrong\n")
    with pytest.raises(Refused, match=f"does not let {USER} in.*password") as refused:
        Database.at(by_tcp(place), file)
    assert "wrong" not in refused.value.what + refused.value.hint
    with pytest.raises(NotFound, match="pgpass"):
        Database.at(by_tcp(place), tmp_path / "nosuch" / "pgpass")


def test_what_cannot_be_reached_is_told(place: PostgresPlace, cluster: Cluster) -> None:
    with pytest.raises(DatabaseAway, match="cannot be reached") as away:
        Database.at(by_tcp(place, port=1))
    assert away.value.exit_code is ExitCode.NETWORK
    with pytest.raises(NotFound, match="does not exist"):
        Database.at(cluster.place("nosuch"))
    with pytest.raises(DatabaseAway):
        Database.at(PostgresPlace("/nonexistent"))
