"""What the doctor makes of a server's facts: each fault's level, and something to do about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from castcore.doctor import (
    CertificateFact,
    DatabaseFact,
    Finding,
    FolderFact,
    Level,
    ServerFacts,
    Space,
    StateFact,
    TreeFact,
    judge_server,
)
from castcore.units import GIB, MIB

NOW = 1_795_000_000
DAY = 86400
STATE = StateFact("/state", held=True, space=Space(9 * GIB, 10**6))
DATABASE = DatabaseFact("/state/server.sqlite", revision="b", newest="b")
CERTIFICATE = CertificateFact(("localhost", "cast"), NOW + 900 * DAY)
FOLDER = FolderFact("/images", images=2, opened=2, space=Space(99 * GIB, None))
TREE = TreeFact("/pxe", 8)
GOOD = ServerFacts(
    STATE,
    NOW,
    NOW - 60,
    "cast",
    database=DATABASE,
    certificate=CERTIFICATE,
    tree=TREE,
    folders=(FOLDER,),
)


def judged(check: str, **facts: Any) -> Finding:
    """The one finding of this ``check`` that is not OK, or the OK one."""
    found = [f for f in judge_server(replace(GOOD, **facts)) if f.check == check]
    bad = [f for f in found if f.level is not Level.OK]
    assert len(bad) <= 1
    return (bad or found)[0]


def test_a_good_server_has_nothing_to_do_anything_about() -> None:
    found = judge_server(GOOD)
    assert {(f.level, f.subject) for f in found} == {(Level.OK, "server")}
    checks = ["state", "secrets", "space", "database", "certificate", "boot tree", "images", "space"]
    assert [f.check for f in found] == [*checks, "clock", "open files"]
    assert "a server runs with it" in found[0].what


def test_a_server_that_was_never_started_is_no_problem() -> None:
    found = judge_server(ServerFacts(StateFact("/state", missing=True), NOW))
    assert {f.level for f in found} == {Level.OK}


BAD = [
    ("state", Level.PROBLEM, {"state": replace(STATE, fault="/state is no directory")}),
    ("state", Level.WARNING, {"state": replace(STATE, mode=0o755)}),
    ("state", Level.WARNING, {"state": replace(STATE, owner=1000)}),
    ("secrets", Level.PROBLEM, {"state": replace(STATE, open_files=("/state/server.key",))}),
    ("space", Level.PROBLEM, {"state": replace(STATE, space=Space(MIB, 10**6))}),
    ("space", Level.WARNING, {"state": replace(STATE, space=Space(100 * MIB, None))}),
    ("space", Level.PROBLEM, {"state": replace(STATE, space=Space(9 * GIB, 3))}),
    ("database", Level.PROBLEM, {"database": replace(DATABASE, fault="it is damaged", remedy="mend")}),
    ("database", Level.WARNING, {"database": replace(DATABASE, unchecked="it is long")}),
    ("certificate", Level.PROBLEM, {"certificate": CertificateFact(fault="no certificate")}),
    ("certificate", Level.WARNING, {"certificate": replace(CERTIFICATE, ends=NOW - 1)}),
    ("certificate", Level.WARNING, {"certificate": replace(CERTIFICATE, ends=NOW + DAY)}),
    ("certificate", Level.WARNING, {"host": "renamed"}),
    ("boot tree", Level.PROBLEM, {"tree": replace(TREE, fault="no kernel", remedy="make it")}),
    ("images", Level.PROBLEM, {"folders": (replace(FOLDER, fault="no answer", remedy="look"),)}),
    ("images", Level.PROBLEM, {"folders": (replace(FOLDER, damaged=("/images/a: torn",)),)}),
    ("space", Level.WARNING, {"folders": (replace(FOLDER, space=Space(GIB)),)}),
    ("space", Level.WARNING, {"folders": (replace(FOLDER, space=Space(99 * GIB, 2)),)}),
    ("clock", Level.PROBLEM, {"written": NOW + 7200}),
    ("open files", Level.WARNING, {"open_files": 1024}),
]


@pytest.mark.parametrize(("check", "level", "facts"), BAD)
def test_each_fault_is_told_with_what_to_do(check: str, level: Level, facts: dict[str, Any]) -> None:
    found = judged(check, **facts)
    assert found.level is level
    assert found.do


def test_a_database_that_will_be_upgraded_is_told_and_no_fault() -> None:
    found = judged("database", database=replace(DATABASE, revision="a"))
    assert found.level is Level.OK
    assert "the next start upgrades it" in found.what
    assert "backup" in found.do


def test_of_a_database_on_a_server_only_what_was_seen_is_told() -> None:
    assert "sound" in judged("database").what
    assert "sound" not in judged("database", database=replace(DATABASE, file=False)).what
    empty = judged("database", database=replace(DATABASE, missing=True))
    assert empty.level is Level.OK
    assert "holds nothing yet" in empty.what


def test_images_that_there_was_no_time_for_are_told() -> None:
    found = judged("images", folders=(replace(FOLDER, images=900),))
    assert "2 opened in the time there was" in found.what


def test_who_has_the_state_is_told_though_nothing_is_wrong() -> None:
    assert "no server runs" in judged("state", state=replace(STATE, held=False)).what
