"""A server's database on a PostgreSQL server that is reached by TLS: asked for, proven, refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from castcore.errors import NotFound, Refused, Untrusted
from castserver.database.database import Database
from castserver.database.databaseplace import PostgresPlace, Tls, parse_url
from castserver.database.tables import SettingRow

from tests.support.certificates import make_certificate
from tests.support.postgrescluster import USER, Cluster
from tests.support.postgresplaces import HIDDEN, run, setting

NAME = "secured"


@pytest.fixture(scope="module")
def secured() -> Iterator[Cluster]:
    """A server that takes nobody by TCP without TLS."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Cluster(tcp=port, tls=True)
    try:
        made.start()
        run(made, f"ALTER ROLE {USER} PASSWORD '{HIDDEN}'")
        run(made, f"CREATE DATABASE {NAME}")
        yield made
    finally:
        made.remove()


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", HIDDEN)


def place(cluster: Cluster, words: str, host: str = "localhost") -> PostgresPlace:
    port = cluster.place(NAME).port
    return parse_url(f"postgresql://{USER}@{host}:{port}/{NAME}{words and f'?{words}'}")


def by_tls(cluster: Cluster) -> list[bool]:
    """Of each connection to the database by TCP, whether it has TLS, as the server sees it."""
    found = run(
        cluster,
        "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        f" WHERE datname = '{NAME}' AND client_addr IS NOT NULL",
    )
    return [ssl for (ssl,) in found]


@pytest.mark.parametrize("mode", [Tls.PREFER, Tls.REQUIRE, Tls.VERIFY])
def test_everything_goes_by_tls(secured: Cluster, mode: Tls) -> None:
    database = Database.at(place(secured, f"sslmode={mode}&sslrootcert={secured.certificate}"))
    try:
        database.save(setting("kept", by=mode))
        assert database.all(SettingRow)[0].value == {"by": mode}
        assert by_tls(secured) == [True]
    finally:
        database.close()


def test_without_tls_the_server_lets_nobody_in(secured: Cluster) -> None:
    with pytest.raises(Refused, match=f"does not let {USER} in"):
        Database.at(place(secured, "sslmode=disable"))


def test_a_server_that_is_not_proven_is_not_used(secured: Cluster, tmp_path: Path) -> None:
    make_certificate(tmp_path / "other.crt", tmp_path / "other.key", "localhost")
    proven = f"sslmode=verify-full&sslrootcert={secured.certificate}"
    for words, host in (
        ("sslmode=verify-full", "localhost"),  # by what the system trusts
        (f"sslmode=verify-full&sslrootcert={tmp_path / 'other.crt'}", "localhost"),
        (proven, "127.0.0.1"),  # it is proven to be another
    ):
        with pytest.raises(Untrusted, match=r"is not proven: .*certificate"):
            Database.at(place(secured, words, host))
    assert by_tls(secured) == []


def test_roots_that_are_not_there_are_named(secured: Cluster, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no-such"):
        Database.at(place(secured, f"sslmode=verify-full&sslrootcert={tmp_path / 'no-such'}"))
