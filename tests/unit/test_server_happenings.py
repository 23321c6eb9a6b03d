"""What the server does of itself stands in the audit log, once, whatever becomes of the database."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from castcore import __version__
from castserver.audit.happenings import Happenings
from castserver.database.tables import AuditRow
from castserver.licences.licenceterms import LicenceEvent
from castserver.media.mediastate import MediaNow, Medium, came, went

from tests.support.faintdatabase import faint
from tests.support.licences import FolderMedium
from tests.support.licensedlab import create, done, licensed_lab, machines
from tests.support.serverlab import ROOT, FakeClient, ServerLab

SCHOOL = Medium("1", "/dev/sdb", "id-1", "school")


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


@pytest.fixture
def happenings() -> Happenings:
    return Happenings(int(time.time()))


def noted(lab: ServerLab) -> list[tuple[str, dict[str, Any], str]]:
    """What the server noted of itself, the oldest first."""
    found = [e for e in lab.parts.audit.page()[::-1] if e.who == "server"]
    return [(e.action, json.loads(e.detail), e.outcome) for e in found]


def cast_to_two(lab: ServerLab) -> tuple[str, list[FakeClient]]:
    """It starts of itself when both have joined."""
    clients = machines(lab, 2)
    cast = create(lab, start_clients=2)
    for client in clients:
        assert client.join(cast).is_success
    return cast, clients


def test_a_cast_that_started_of_itself_and_its_end(lab: ServerLab, happenings: Happenings) -> None:
    cast, (one, two) = cast_to_two(lab)
    happenings.look(lab.parts)
    one.report("done", cast=cast, root=ROOT)
    two.report("failed", cast=cast, message="the disk is broken")
    for _ in range(3):
        happenings.look(lab.parts)
    counts = {"done": 1, "failed": 1}
    assert noted(lab) == [
        (f"cast {cast} started", {"image": "lab", "why": "machines that had joined: 2"}, ""),
        (f"cast {cast} ended", {"image": "lab", "state": "done", "machines": counts}, ""),
    ]
    assert lab.parts.audit.first_broken() is None


def test_start_and_end_between_two_looks_and_again(lab: ServerLab, happenings: Happenings) -> None:
    cast, clients = cast_to_two(lab)
    for client in clients:
        client.report("failed", cast=cast, message="the disk is broken")
    happenings.look(lab.parts)
    (_, start, _), (action, detail, outcome) = noted(lab)
    assert (start["why"], action) == ("machines that had joined: 2", f"cast {cast} ended")
    assert (detail["state"], outcome) == ("failed", "0 of 2 machines proven")
    lab.operator("POST", f"/casts/{cast}/retry")
    happenings.look(lab.parts)
    lab.operator("POST", f"/casts/{cast}/cancel")
    happenings.look(lab.parts)
    assert [(d["state"], o) for _, d, o in noted(lab)[2:]] == [("cancelled", "")]


def test_what_somebody_started_is_no_doing_of_the_server(lab: ServerLab, happenings: Happenings) -> None:
    happenings.look(lab.parts)
    lab.operator("PUT", "/booting", {"deploy": False})
    cast, client = create(lab), FakeClient(lab, 1).register()
    client.join(cast)
    lab.operator("POST", f"/casts/{cast}/start")
    happenings.look(lab.parts)
    assert noted(lab) == []


def test_what_ended_before_this_run_is_not_told_again(lab: ServerLab) -> None:
    cast, _ = cast_to_two(lab)
    lab.operator("POST", f"/casts/{cast}/cancel")
    Happenings(int(time.time()) + 1).look(lab.parts)
    assert noted(lab) == []


def test_pxe_deploy_that_goes_off_of_itself(lab: ServerLab, happenings: Happenings) -> None:
    happenings.look(lab.parts)
    lab.booting.end_deploy("the console was closed")
    happenings.look(lab.parts)
    happenings.look(lab.parts)
    assert noted(lab) == [("PXE deploy off", {"why": "the console was closed"}, "")]


def test_media_that_come_and_go_between_two_looks(lab: ServerLab, happenings: Happenings) -> None:
    broken = Medium("2", "/dev/sdc", problem="it cannot be mounted")
    here = came(MediaNow(), SCHOOL)
    for now in (here, here, went(here, "1", casting=False), came(MediaNow(), broken)):
        happenings.media(now)
    happenings.look(lab.parts)
    shown = {"name": "school", "id": "id-1", "where": "/dev/sdb"}
    assert noted(lab) == [
        ("medium connected", shown, ""),
        ("medium gone", shown, ""),
        ("medium connected", {"where": "/dev/sdc"}, "it cannot be mounted"),
    ]


def test_licences_are_one_entry_a_cast(tmp_path: Path, happenings: Happenings) -> None:
    medium = FolderMedium(tmp_path / "school")
    medium.issue(5)
    lab = licensed_lab(medium)
    lab.casts.licensing._told = happenings.licence
    cast, (one, two) = cast_to_two(lab)
    happenings.look(lab.parts)
    for client in (one, two):
        done(lab, client, cast)
        happenings.look(lab.parts)
    happenings.look(lab.parts)
    happenings.look(lab.parts)
    (used,) = [found for found in noted(lab) if found[0] == "licences consumed"]
    assert used == ("licences consumed", {"medium": "school", "cast": cast, "count": 2}, "")


def test_imported_licences_and_unpaid_disks(lab: ServerLab, happenings: Happenings) -> None:
    for word, cast in (("imported", ""), ("imported", ""), ("reserved", "c1"), ("unpaid", "c1")):
        happenings.licence(LicenceEvent(word, "school", 3, cast))
    happenings.look(lab.parts)
    assert noted(lab) == [("licences imported", {"medium": "school", "count": 2}, "")]
    happenings.end(lab.parts)
    (action, _, outcome), (last, version, _) = noted(lab)[1:]
    assert (action, outcome != "") == ("licences unpaid", True)
    assert (last, version) == ("server stopped", {"version": __version__})


def test_a_database_that_fails_costs_the_cast_nothing(
    lab: ServerLab, happenings: Happenings, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = faint(lab, monkeypatch)
    how.kind, how.left = AuditRow, 1000
    happenings.begin(lab.parts)
    cast, clients = cast_to_two(lab)
    for client in clients:
        happenings.look(lab.parts)
        client.report("done", cast=cast, root=ROOT)
    happenings.look(lab.parts)
    assert lab.operator("GET", f"/casts/{cast}")["state"] == "done"
    assert noted(lab) == []
    how.left = 0
    lab.parts.audit.catch_up()
    told = [action for action, _, _ in noted(lab)]
    assert told == ["server started", f"cast {cast} started", f"cast {cast} ended"]
    assert lab.parts.audit.first_broken() is None
