"""Where a database is: URLs read and written, passwords found, what a server was told remembered."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from castcore.errors import DiskFailed, NoSpace, NotFound, Refused
from castserver.__main__ import main
from castserver.database import postgres
from castserver.database.database import Database
from castserver.database.databaseplace import (
    PostgresPlace,
    Tls,
    parse_place,
    parse_url,
    password_for,
    place_of,
)
from castserver.database.postgreslink import DatabaseAway
from castserver.database.statedatabase import RECORD, open_database, place_in, record
from hypothesis import given
from hypothesis import strategies as st

PLACE = PostgresPlace("dbhost")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("postgresql://dbhost", PLACE),
        ("postgresql://fleetcast@dbhost:5432/fleetcast", PLACE),
        ("postgres://anna@10.0.0.1:6000/casts", PostgresPlace("10.0.0.1", 6000, "casts", "anna")),
        ("postgresql://[fe80::1]/x", PostgresPlace("fe80::1", database="x")),
        ("postgresql:///", PostgresPlace("/run/postgresql")),
        ("postgresql:///x?host=/tmp/a b&port=7", PostgresPlace("/tmp/a b", 7, "x")),
        (
            "postgresql://dbhost/fleetcast?sslmode=verify-full&sslrootcert=/etc/ca.crt",
            PostgresPlace("dbhost", tls=Tls.VERIFY, roots="/etc/ca.crt"),
        ),
    ],
)
def test_a_url_names_a_place_and_the_place_its_url(text: str, place: PostgresPlace) -> None:
    assert parse_url(text) == place
    assert parse_url(str(place)) == place


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)


@given(NAMES, NAMES, st.integers(1, 65535), st.sampled_from(Tls), st.booleans(), NAMES)
def test_every_place_comes_back_from_its_url(
    user: str, database: str, port: int, tls: Tls, local: bool, name: str
) -> None:
    host = f"/run/{name}" if local else "dbhost"
    place = PostgresPlace(host, port, database, user, tls, f"/etc/{name}")
    assert parse_url(str(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sqlite:///x",
        "mysql://x",
        "postgresql://dbhost:0/x",
        "postgresql://dbhost:99999/x",
        "postgresql://dbhost:port/x",
        "postgresql://dbhost/x?sslmode=maybe",
        "postgresql://dbhost/x?options=-c%20fsync%3Doff",
        "postgresql://dbhost/x?novalue",
        "postgresql://dbhost/x/y",
        "postgresql://[::1/x",
        "postgresql://dbhost/x#y",
    ],
)
def test_what_is_no_such_url_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_url(text)
    assert "postgresql://" in refused.value.hint


@pytest.mark.parametrize(
    "text", ["postgresql://anna:word@dbhost/x", "postgresql://dbhost/x?password=word"]
)
def test_a_password_in_a_url_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_url(text)
    assert "word@" not in refused.value.what
    assert "=word" not in refused.value.what + refused.value.hint
    assert "$PGPASSFILE" in refused.value.hint


def test_a_word_a_directory_or_a_url(tmp_path: Path) -> None:
    assert parse_place("sqlite", tmp_path) == tmp_path / "server.sqlite"
    assert parse_place("postgresql://dbhost", tmp_path) == PLACE
    assert place_of(str(tmp_path)) == tmp_path / "server.sqlite"
    assert place_of("postgresql://dbhost") == PLACE
    with pytest.raises(Refused):
        place_of("mysql://dbhost")


LINES = r"""# hosts
dbhost:5432:fleetcast:anna:hers
dbhost:5432:other:fleetcast:another's
too:few:fields
dbhost:5432:fleetcast:fleetcast:with \: and \\ in it
*:*:*:*:anybody's
"""


def test_the_first_line_that_fits_has_the_password(tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    file.write_text(LINES)
    file.chmod(0o600)
    assert password_for(PLACE, file, {}) == "with : and \\ in it"
    assert password_for(PostgresPlace("10.0.0.1"), file, {}) == "anybody's"
    file.write_text("localhost:*:*:*:the socket's\n")
    assert password_for(PostgresPlace("/run/postgresql"), file, {}) == "the socket's"
    assert password_for(PLACE, file, {}) is None


def test_where_a_password_is_looked_for(tmp_path: Path) -> None:
    home, named = tmp_path / ".pgpass", tmp_path / "named"
    for file in (home, named):
        file.write_text(f"*:*:*:*:of {file.name}")
        file.chmod(0o600)
    surroundings = {"HOME": str(tmp_path)}
    assert password_for(PLACE, None, surroundings) == "of .pgpass"
    surroundings["PGPASSFILE"] = str(named)
    assert password_for(PLACE, None, surroundings) == "of named"
    surroundings["PGPASSWORD"] = "said"
    assert password_for(PLACE, None, surroundings) == "said"
    # What the command line names wins.
    assert password_for(PLACE, home, surroundings) == "of .pgpass"
    assert password_for(PLACE, None, {}) is None
    with pytest.raises(NotFound):
        password_for(PLACE, None, {"PGPASSFILE": str(tmp_path / "nosuch")})
    named.chmod(0o640)
    with pytest.raises(Refused, match="others may read"):
        password_for(PLACE, named, {})


class Failure(Exception):
    """As the driver tells it."""


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("53100", NoSpace),
        ("28P01", Refused),
        ("3D000", NotFound),
        ("25006", Refused),
        ("22001", Refused),
        ("57P01", DatabaseAway),
        ("53300", DatabaseAway),
        ("XX001", DiskFailed),
        ("23505", DiskFailed),
    ],
)
def test_what_a_server_says_is_told_as_what_it_is(code: str, kind: type[Exception]) -> None:
    error = postgres.failed(PLACE, Failure({"C": code, "M": "its words"}))
    assert type(error) is kind
    assert "postgresql://fleetcast@dbhost" in error.what
    if kind is not NotFound:
        assert "its words" in error.what


@pytest.mark.sqlite
def test_a_server_remembers_its_database(tmp_path: Path) -> None:
    assert place_in(tmp_path) == tmp_path / "server.sqlite"
    open_database(tmp_path, None, None).close()
    assert not (tmp_path / RECORD).exists()
    record(tmp_path, PLACE)
    assert place_in(tmp_path) == PLACE
    assert place_in(tmp_path, "sqlite") == tmp_path / "server.sqlite"
    (tmp_path / RECORD).write_text("nonsense")
    with pytest.raises(Refused):
        place_in(tmp_path)
    (tmp_path / RECORD).unlink()
    (tmp_path / RECORD).mkdir()
    with pytest.raises(DiskFailed):
        place_in(tmp_path)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("before", "given", "new"),
    [
        (None, None, True),
        (None, PLACE, True),
        (PLACE, None, False),
        (PLACE, PLACE, False),
        (PLACE, PostgresPlace("other"), False),
        ("sqlite", None, False),
        ("sqlite", PLACE, False),
    ],
)
def test_a_server_that_has_a_database_makes_no_other(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: PostgresPlace | str | None,
    given: PostgresPlace | None,
    new: bool,
) -> None:
    if before == "sqlite":
        open_database(tmp_path, None, None).close()
    elif isinstance(before, PostgresPlace):
        record(tmp_path, before)
    asked: list[bool] = []

    def at(*_: object, new: bool) -> Database:
        asked.append(new)
        return Database.in_memory()

    monkeypatch.setattr(Database, "at", at)
    open_database(tmp_path, None if given is None else str(given), None).close()
    assert asked == [new]


def test_a_copy_from_where_nothing_is_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "from", tmp_path / "to"
    monkeypatch.setattr(sys, "argv", ["fleetcast", "database", "copy", str(source), str(target)])
    assert main() == NotFound.exit_code
    assert f"there is no database {source}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
