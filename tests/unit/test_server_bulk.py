"""Many rows in one transaction: the same rows as one after the other, all or none, in few statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from castcore.errors import DiskFailed, FleetcastError
from castserver.database import bulk
from castserver.database.database import Database
from castserver.database.tables import Base, LeaseRow, MachineCardRow, SettingRow
from castserver.machines import machineimport
from castserver.machines.machineimport import ImportPlan
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.support import databases
from tests.support.serverlab import OPERATOR, ServerLab

MACHINES = 400


def setting(name: str, value: int) -> SettingRow:
    return SettingRow(name=name, value={"n": value})


def lease(number: int, mac: str) -> LeaseRow:
    """Its key has two columns."""
    return LeaseRow(
        interface=f"eth{number % 3}",
        address=f"10.0.0.{number}",
        mac=mac,
        state="leased",
        expires=1,
        booted=False,
    )


def held(database: Database) -> dict[str, object]:
    found: dict[str, object] = {row.name: row.value for row in database.all(SettingRow)}
    return found | {f"{row.interface} {row.address}": row.mac for row in database.all(LeaseRow)}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), max_size=40), max_size=3))
def test_many_rows_are_as_if_written_one_after_the_other(calls: list[list[tuple[int, int]]]) -> None:
    database, expected = Database.in_memory(), dict[str, object]()
    for numbers in calls:
        rows: list[Base] = [setting(f"s{key}", value) for key, value in numbers]
        rows += [lease(key, f"{value}") for key, value in numbers]
        database.save(*rows)
        expected |= {f"s{key}": {"n": value} for key, value in numbers}
        expected |= {f"eth{key % 3} 10.0.0.{key}": f"{value}" for key, value in numbers}
        assert held(database) == expected
    database.close()


def test_both_databases_take_more_rows_than_a_question_has_keys() -> None:
    database = databases.fresh()
    count = 2 * bulk.AT_ONCE + 1
    for value in (1, 2):
        database.save(*(setting(f"s{n}", value) for n in range(count)))
        database.save(*(lease(n, f"{value}") for n in range(count)))
    assert len(found := held(database)) == 2 * count
    assert {str(value) for value in found.values()} == {"{'n': 2}", "2"}


def test_of_many_rows_all_are_written_or_none() -> None:
    database = databases.fresh()
    database.save(setting("s1", 1))
    stray = MachineCardRow(
        machine="nobody", name="", note="", tags=[], groups=[], met=False, removed=None
    )
    with pytest.raises(FleetcastError):
        database.save(*(setting(f"s{n}", 7) for n in range(bulk.MANY)), stray)
    assert held(database) == {"s1": {"n": 1}}


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of databases meanwhile."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def sheet(group: str) -> bytes:
    lines = (f"PC{n},02:00:00:00:{n >> 8:02x}:{n & 255:02x},{group}" for n in range(MACHINES))
    return "\n".join(["name,macs,groups", *lines]).encode()


def test_a_file_of_machines_takes_a_handful_of_statements() -> None:
    lab = ServerLab()
    headers = OPERATOR | {"Content-Type": "text/csv"}
    for group, counted in (("R1", "add"), ("R2", "change")):
        with statements() as asked:
            answer = lab.http.post("/api/v1/machines/import", content=sheet(group), headers=headers)
        assert answer.json()[counted] == MACHINES
        about = [one for one in asked if "machine" in one]
        assert 0 < len(about) < 10, about
    assert len(lab.operator("GET", "/clients")) == MACHINES


def test_an_import_that_the_database_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = ServerLab()

    def full(*_rows: object, **_more: object) -> None:
        raise DiskFailed("the database failed")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "save", full)
        answer = lab.http.post("/api/v1/machines/import", content=sheet("R1"), headers=OPERATOR)
    assert answer.status_code == 500
    assert lab.clients.all() == []
    assert not lab.parts.clients.has("PC1")


def test_who_comes_while_a_file_is_understood_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = ServerLab()
    plan = machineimport.plan
    taken: list[str] = []

    def slowly(*given: Any) -> ImportPlan:
        planned = plan(*given)
        if not taken:
            taken.append("PC1")
            lab.operator("POST", "/machines", {"name": "PC1", "macs": ["06:00:00:00:00:01"]})
        return planned

    monkeypatch.setattr(machineimport, "plan", slowly)
    answer = lab.http.post("/api/v1/machines/import", content=sheet("R1"), headers=OPERATOR)
    assert answer.status_code == 403
    assert "PC1" in answer.json()["error"]
    assert [c.card.name for c in lab.clients.all()] == ["PC1"]
