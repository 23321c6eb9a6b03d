"""Empty databases of a PostgreSQL server of the tests' own, as fixtures, and what tests ask of one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from castserver.database.database import Database
from castserver.database.databaseplace import PostgresPlace
from castserver.database.postgreslink import Link
from castserver.database.tables import SettingRow
from sqlalchemy import inspect
from sqlalchemy.engine import Engine

from tests.support.postgrescluster import USER, Cluster

HIDDEN = "a secret word"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Cluster(tcp=port)
    try:
        made.start()
        run(made, f"ALTER ROLE {USER} PASSWORD '{HIDDEN}'")
        yield made
    finally:
        made.remove()


@pytest.fixture
def place(cluster: Cluster, request: pytest.FixtureRequest) -> PostgresPlace:
    """An empty database."""
    name = f"t{abs(hash(request.node.name)):x}"
    run(cluster, f"DROP DATABASE IF EXISTS {name}")
    run(cluster, f"CREATE DATABASE {name}")
    return cluster.place(name)


def run(cluster: Cluster, command: str, database: str = "postgres") -> list[Any]:
    engine = Link(cluster.place(database), None, alone=False).engine()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        found = connection.exec_driver_sql(command)
        rows = [tuple(row) for row in found] if found.returns_rows else []
    engine.dispose()
    return rows


def engine_of(place: PostgresPlace) -> Engine:
    return Link(place, None, alone=False).engine()


def tables_of(place: PostgresPlace) -> int:
    with engine_of(place).connect() as connection:
        return len(inspect(connection).get_table_names())


def setting(name: str, **value: Any) -> SettingRow:
    return SettingRow(name=name, value=value)


def names(database: Database) -> list[str]:
    return [row.name for row in database.all(SettingRow)]


def values(rows: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in vars(row).items() if not k.startswith("_")} for row in rows]
