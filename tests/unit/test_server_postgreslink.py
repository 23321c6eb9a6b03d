"""The lock of a database's only server, with a connection that is played."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from castcore.errors import InUse
from castserver.database.databaseplace import PostgresPlace
from castserver.database.postgreslink import Link

OTHER = (7, "fleetcast elsewhere", "10.0.1.2")


class Played:
    """A connection whose answers, a row for each question, are given."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = list(rows)

    def cursor(self) -> Played:
        return self

    def execute(self, _question: str, _values: object) -> None:
        pass

    def fetchone(self) -> Any:
        return self.rows.pop(0)

    def close(self) -> None:
        """The cursor's, after each question."""


def link() -> Link:
    return Link(
        PostgresPlace("db", 5432, "fleetcast", "fleetcast"), None, alone=True, name="fleetcast here"
    )


SESSION, SCHEMA, TAKEN, FREE, NOBODY = ("",), ("public",), (False,), (True,), None


@pytest.mark.parametrize("end", [[FREE], [TAKEN, NOBODY, FREE], [TAKEN, NOBODY, TAKEN, NOBODY, FREE]])
def test_a_lock_that_becomes_free_while_it_is_asked_for_is_taken(
    monkeypatch: pytest.MonkeyPatch, end: list[Any]
) -> None:
    played = Played([SESSION, SCHEMA, *end])
    monkeypatch.setattr(Link, "_reach", lambda _self, _seconds: played)
    assert link()._connect(1.0, patient=False) is played
    assert not played.rows


def test_who_holds_the_lock_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played([SESSION, SCHEMA, TAKEN, OTHER])
    monkeypatch.setattr(Link, "_reach", lambda _self, _seconds: played)
    with pytest.raises(InUse, match=r"fleetcast elsewhere at 10\.0\.1\.2"):
        link()._connect(1.0, patient=False)
