from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from castcore.errors import NoSpace
from castserver.accounts.roles import Caller, Role
from castserver.api.app import MOST_BODY
from castserver.audit import auditlog
from castserver.audit.auditchain import Entry, first_broken, link, without_secrets
from castserver.audit.auditlog import AuditLog
from castserver.database.tables import AuditRow
from castserver.days import DAY
from hypothesis import given
from hypothesis import strategies as st

from tests.support import databases
from tests.support.serverlab import OPERATOR, ServerLab

ANNA = Caller("anna", Role.OPERATOR, "s")
entries = st.lists(
    st.builds(
        Entry,
        number=st.just(0),
        time=st.integers(0, 1 << 40),
        who=st.text(max_size=5),
        role=st.just("admin"),
        address=st.just(""),
        action=st.text(max_size=5),
        detail=st.text(max_size=5),
        outcome=st.text(max_size=5),
    ),
    min_size=2,
    max_size=6,
).map(lambda found: [replace(e, number=n) for n, e in enumerate(found, 1)])


def chained(found: list[Entry]) -> list[tuple[Entry, str]]:
    rows, before = [], ""
    for entry in found:
        before = link(before, entry)
        rows.append((entry, before))
    return rows


@given(entries)
def test_what_was_written_is_whole(found: list[Entry]) -> None:
    assert first_broken("", chained(found)) is None


@given(entries, st.data())
def test_a_change_a_gap_and_a_swap_show(found: list[Entry], data: st.DataObject) -> None:
    rows = chained(found)
    at = data.draw(st.integers(0, len(rows) - 2))
    changed = list(rows)
    changed[at] = replace(rows[at][0], who=rows[at][0].who + "x"), rows[at][1]
    assert first_broken("", changed) == at + 1
    assert first_broken("", rows[:at] + rows[at + 1 :]) is not None
    rows[at], rows[at + 1] = rows[at + 1], rows[at]
    assert first_broken("", rows) is not None


def test_secrets_are_masked_and_nothing_else() -> None:
    value: Any = {"name": "anna", "password": "p", "deep": [{"api_token": "t", "n": 1}], "key": None}
    assert without_secrets(value) == {
        "name": "anna",
        "password": "***",
        "deep": [{"api_token": "***", "n": 1}],
        "key": None,
    }


class Log:
    """A log over one database, at a time that tests set."""

    def __init__(self) -> None:
        self.database, self.now = databases.fresh(), 1_800_000_000.0
        self.open()

    def open(self) -> None:
        self.log = AuditLog(self.database, lambda: self.now, keep_days=30)

    def rows(self) -> list[AuditRow]:
        return list(self.database.all(AuditRow))


def test_it_goes_on_after_a_restart() -> None:
    log = Log()
    log.log.note(ANNA, "10.0.0.1", "POST /casts", '{"image": "lab"}')
    log.open()
    log.log.note(None, "", "cast c1 ended")
    assert [(e.number, e.who) for e in log.log.page()] == [(2, "server"), (1, "anna")]
    assert log.log.page(before=2)[0].action == "POST /casts"
    assert log.log.first_broken() is None


def test_what_no_database_keeps_as_it_is_breaks_no_chain() -> None:
    log = Log()
    long = "x" * 5000 + "\0"
    log.log.note(Caller("a\0\ud800", Role.ADMIN), "fe80::1%" + long, "\0" + long, "\udc80" + long, long)
    log.log.note(ANNA, "", "next")
    assert [entry.number for entry in log.log.page()] == [2, 1]
    assert log.log.page()[1].who == "a\N{REPLACEMENT CHARACTER}?"
    assert log.log.first_broken() is None


def test_a_changed_a_missing_and_a_cut_off_entry_show() -> None:
    for tamper in ("change", "remove", "cut off"):
        log = Log()
        for number in range(5):
            log.log.note(ANNA, "", f"act {number}")
        row = log.rows()[4 if tamper == "cut off" else 2]
        if tamper == "change":
            row.who = "bob"
            log.database.save(row)
        else:
            log.database.save(gone=[row])
        assert log.log.first_broken() == row.number, tamper


def test_only_the_old_end_is_forgotten_and_the_rest_stays_proven() -> None:
    log = Log()
    for number in range(4):
        log.log.note(ANNA, "", f"act {number}")
        log.now += 15 * DAY
    log.log.cut()
    assert [e.number for e in log.log.page()] == [4, 3]
    assert log.log.first_broken() is None
    log.open()
    log.log.note(ANNA, "", "later")
    assert log.log.first_broken() is None
    row = log.rows()[0]
    log.database.save(gone=[row])
    assert log.log.first_broken() == row.number


def test_all_may_be_forgotten_and_numbers_go_on() -> None:
    log = Log()
    log.log.note(ANNA, "", "act")
    log.now += 100 * DAY
    log.log.cut()
    assert log.log.page() == []
    log.open()
    log.log.note(ANNA, "", "act")
    assert log.log.page()[0].number == 2
    assert log.log.first_broken() is None


def away(log: Log, monkeypatch: pytest.MonkeyPatch, *, after: bool = False) -> Callable[[], None]:
    """The database fails until the answer is called; ``after``: once it has written what was asked."""
    save = log.database.save

    def fails(*rows: Any, **more: Any) -> None:
        if after:
            save(*rows, **more)
        raise NoSpace("the disk is full")

    monkeypatch.setattr(log.database, "save", fails)
    return lambda: monkeypatch.setattr(log.database, "save", save)


@pytest.mark.parametrize("after", [False, True])
def test_what_a_database_misses_is_written_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    log = Log()
    log.log.note(ANNA, "", "act 1")
    back = away(log, monkeypatch, after=after)
    log.log.note(ANNA, "", "act 2")
    log.log.note(None, "", "act 3")
    log.log.catch_up()
    assert (log.log.waiting, log.log.first_broken()) == (2, None)
    log.now += 100
    back()
    log.log.catch_up()
    log.log.note(ANNA, "", "act 4")
    found = [(e.number, e.action, e.time) for e in log.log.page()[::-1]]
    began = int(log.now) - 100
    times = (began, began, began, int(log.now))
    assert found == [(n, f"act {n}", time) for n, time in enumerate(times, 1)]
    log.open()
    assert (log.log.waiting, log.log.first_broken()) == (0, None)


def test_what_is_too_much_to_wait_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditlog, "MOST_WAITING", 3)
    log = Log()
    back = away(log, monkeypatch)
    for number in range(8):
        log.log.note(ANNA, "", f"act {number}")
    assert log.log.waiting == 8
    back()
    log.log.note(ANNA, "", "act 8")
    log.log.catch_up()
    told = [e.action for e in log.log.page()[::-1]]
    assert told == ["act 0", "act 1", "act 2", "6 entries were lost"]
    log.log.note(ANNA, "", "act 9")
    assert (log.log.page()[0].number, log.log.first_broken(), log.log.waiting) == (5, None, 0)


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def test_what_changes_something_is_noted_with_its_outcome(lab: ServerLab) -> None:
    lab.operator("POST", "/casts", {"image": "lab"})
    lab.http.post("/api/v1/casts", json={"image": "nosuch"}, headers=OPERATOR)
    lab.http.post("/api/v1/casts", json={"image": 7}, headers=OPERATOR)
    lab.http.post("/api/v1/casts", content=b"{", headers=OPERATOR)
    lab.operator("GET", "/casts")
    lab.log_in(Role.VIEWER)
    lab.http.post("/api/v1/casts", json={"image": "lab"}, headers={"x-fleetcast-console": "1"})
    found = lab.operator("GET", "/audit")[::-1]
    assert [e["who"] for e in found] == ["token operator.token"] * 4 + ["viewer"]
    assert {e["action"] for e in found} == {"POST /api/v1/casts"}
    assert json.loads(found[0]["detail"]) == {"image": "lab"}
    told = [e["outcome"] for e in found]
    assert told[0] == ""
    assert "nosuch" in told[1]
    assert told[2:4] == ["malformed", "malformed"]
    assert "this takes an operator" in told[4]
    assert lab.operator("GET", "/audit/proof") == {"entries": 5, "broken": None, "waiting": 0}


def test_no_body_keeps_an_action_out_of_the_log(lab: ServerLab) -> None:
    cast = lab.operator("POST", "/casts", {"image": "lab"})["cast"]
    deep = b"[" * 700 + b"]" * 700
    answer = lab.http.post(f"/api/v1/casts/{cast}/cancel", content=deep, headers=OPERATOR)
    assert answer.status_code == 200
    huge = b" " * (MOST_BODY + 1)
    other = lab.operator("POST", "/casts", {"image": "office"})["cast"]
    assert (
        lab.http.post(f"/api/v1/casts/{other}/cancel", content=huge, headers=OPERATOR).status_code == 413
    )
    assert not lab.casts.get(other).state.ended, "what cannot be noted is not done"
    assert lab.operator("GET", "/audit")[1]["action"] == f"POST /api/v1/casts/{cast}/cancel"


def test_reading_is_noted_only_when_it_was_refused(lab: ServerLab) -> None:
    lab.log_in(Role.VIEWER)
    assert lab.http.get("/api/v1/users").status_code == 403
    assert lab.http.get("/api/v1/casts").status_code == 200
    found = lab.operator("GET", "/audit")
    assert [(e["who"], e["action"]) for e in found] == [("viewer", "GET /api/v1/users")]


def test_a_full_disk_keeps_nobody_out(lab: ServerLab, monkeypatch: pytest.MonkeyPatch) -> None:
    password = lab.parts.auth.users.first()

    def full(*rows: Any, **more: Any) -> None:
        raise NoSpace("the disk is full")

    monkeypatch.setattr(lab.parts.audit._database, "save", full)
    form = {"name": "admin", "password": password}
    assert lab.http.post("/login", data=form, follow_redirects=False).status_code == 303


def test_what_a_stranger_types_forges_no_line(lab: ServerLab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fleetcast.audit")
    form = {"name": "x\nINFO fleetcast.audit: 7 admin", "password": "y"}
    lab.http.post("/login", data=form)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "\n" not in line


def test_logins_are_noted(lab: ServerLab) -> None:
    password = lab.parts.auth.users.first()
    lab.http.post("/login", data={"name": "admin", "password": "wrong"})
    lab.http.post("/login", data={"name": "admin", "password": password}, follow_redirects=False)
    lab.http.post("/logout", follow_redirects=False)
    found = [(e.who, e.action, e.outcome) for e in lab.parts.audit.page()[::-1]]
    assert found == [
        ("admin", "log in", "wrong name or password"),
        ("admin", "log in", ""),
        ("admin", "log out", ""),
    ]
