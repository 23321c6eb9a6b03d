"""The operator's hand on a cast: when it starts, pause and resume, and those that failed once more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from castserver.machines.clients import GONE_AFTER

from tests.support.faintdatabase import wait_closed
from tests.support.licences import FolderMedium
from tests.support.licensedlab import counts, licensed_lab, machines
from tests.support.serverlab import OPERATOR, ROOT, FakeClient, ServerLab


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


class Calendar:
    """What the wall clock says."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> Calendar:
    made = Calendar()
    monkeypatch.setattr(time, "time", made)
    return made


def create(lab: ServerLab, **fields: object) -> str:
    cast: str = lab.operator("POST", "/casts", {"image": "lab", **fields})["cast"]
    return cast


def show(lab: ServerLab, cast: str) -> dict[str, object]:
    shown: dict[str, object] = lab.operator("GET", f"/casts/{cast}")
    return shown


def state(lab: ServerLab, cast: str) -> object:
    return show(lab, cast)["state"]


def parts(lab: ServerLab, cast: str) -> dict[str, str]:
    return {p["client"]: p["state"] for p in lab.operator("GET", f"/casts/{cast}")["parts"]}


def refused(lab: ServerLab, path: str, body: object = None) -> str:
    answer = lab.http.post(f"/api/v1{path}", json=body or {}, headers=OPERATOR)
    assert answer.status_code == 403, answer.text
    said: str = answer.json()["error"]
    return said


# -- when it starts


def test_it_starts_so_long_after_the_first_joined(lab: ServerLab, calendar: Calendar) -> None:
    early, late = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    cast = create(lab, start_after=60, start_clients=5)
    calendar.now += 1000
    lab.casts.tick()
    assert (state(lab, cast), show(lab, cast)["starts_in"]) == ("gathering", None)
    early.join(cast)
    calendar.now += 59
    late.join(cast)
    lab.casts.tick()
    assert (state(lab, cast), show(lab, cast)["starts_in"]) == ("gathering", 1)
    calendar.now += 1
    lab.casts.tick()
    assert (state(lab, cast), show(lab, cast)["starts_in"]) == ("running", None)
    assert lab.senders[0].started


def test_enough_machines_start_it_before_its_time(lab: ServerLab, calendar: Calendar) -> None:
    cast = create(lab, start_after=60, start_clients=1)
    calendar.now += 1
    FakeClient(lab, 1).register().join(cast)
    assert state(lab, cast) == "running"


def test_what_it_has_waited_survives_a_restart(lab: ServerLab, calendar: Calendar) -> None:
    client = FakeClient(lab, 1).register()
    cast = create(lab, start_after=60)
    client.join(cast)
    calendar.now += 50
    lab.restart()
    assert show(lab, cast)["starts_in"] == 10
    calendar.now += 10
    lab.casts.tick()
    assert state(lab, cast) == "gathering", "nobody has joined the new sender yet"
    client.join(cast)
    assert state(lab, cast) == "running"


# -- pause and resume


def test_a_paused_cast_sends_nothing_and_goes_on_where_it_was(lab: ServerLab) -> None:
    client, late = FakeClient(lab, 1).register(), FakeClient(lab, 2)
    cast = create(lab, start_clients=1)
    client.join(cast)
    assert lab.operator("POST", f"/casts/{cast}/pause")["state"] == "paused"
    assert lab.senders[0].paused
    late.register().join(cast)
    assert (state(lab, cast), lab.senders[0].paused) == ("paused", True)
    lab.operator("POST", f"/casts/{cast}/resume")
    assert (state(lab, cast), lab.senders[0].paused) == ("running", False)
    assert len(lab.senders) == 1
    for machine in (client, late):
        machine.report("done", cast=cast, root=ROOT)
    assert state(lab, cast) == "done"


def test_only_what_runs_is_paused_and_only_what_is_paused_resumes(lab: ServerLab) -> None:
    cast = create(lab)
    assert "gathering" in refused(lab, f"/casts/{cast}/pause")
    assert "gathering" in refused(lab, f"/casts/{cast}/resume")


def test_a_paused_cast_survives_a_restart_paused(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    cast = create(lab, start_clients=1)
    client.join(cast)
    lab.operator("POST", f"/casts/{cast}/pause")
    lab.restart()
    client.join(cast)
    assert state(lab, cast) == "paused"
    assert (lab.senders[0].paused, lab.senders[0].started) == (True, False)
    lab.operator("POST", f"/casts/{cast}/resume")
    assert (lab.senders[0].paused, lab.senders[0].started) == (False, True)
    client.report("done", cast=cast, root=ROOT)
    assert state(lab, cast) == "done"


def test_network_booting_is_not_changed_while_a_cast_is_paused(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    cast = create(lab, start_clients=1)
    client.join(cast)
    lab.operator("POST", f"/casts/{cast}/pause")
    answer = lab.http.put("/api/v1/booting", json={"deploy": False, "ends": None}, headers=OPERATOR)
    assert answer.status_code == 403, answer.text


def test_a_paused_cast_is_cancelled_as_any(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    cast = create(lab, start_clients=1)
    client.join(cast)
    lab.operator("POST", f"/casts/{cast}/pause")
    lab.operator("POST", f"/casts/{cast}/cancel")
    wait_closed(lab)
    assert (state(lab, cast), lab.senders[0].aborted) == ("cancelled", True)


# -- once more


def test_only_those_that_failed_are_ordered_again(lab: ServerLab) -> None:
    good, bad = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    cast = create(lab, start_clients=2)
    for client in (good, bad):
        client.join(cast)
        client.orders()
    good.report("done", cast=cast, root=ROOT)
    bad.report("failed", cast=cast, message="the disk is gone")
    assert state(lab, cast) == "done"
    lab.operator("POST", f"/casts/{cast}/retry")
    assert state(lab, cast) == "running"
    assert parts(lab, cast) == {good.id: "done", bad.id: "ordered"}
    assert [o["cast"] for o in bad.orders()] == [cast]
    assert good.orders() == []
    bad.join(cast)
    assert lab.senders[-1].started
    bad.report("done", cast=cast, root=ROOT)
    assert (state(lab, cast), parts(lab, cast)[bad.id]) == ("done", "done")


def test_what_is_tried_again_survives_a_restart(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    cast = create(lab, start_clients=1)
    client.join(cast)
    client.report("failed", cast=cast)
    lab.operator("POST", f"/casts/{cast}/retry", {"clients": [client.id]})
    lab.restart()
    client.join(cast)
    client.report("done", cast=cast, root=ROOT)
    assert state(lab, cast) == "done"


def test_who_is_not_here_or_has_not_failed_is_not_tried_again(lab: ServerLab) -> None:
    client, other = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    cast = create(lab, start_clients=1, clients=[client.id])
    client.join(cast)
    assert "no such machine" in refused(lab, f"/casts/{cast}/retry")
    client.report("failed", cast=cast)
    assert "has no part" in refused(lab, f"/casts/{cast}/retry", {"clients": [other.id]})
    lab.clock.now += GONE_AFTER + 1
    assert "no client is running" in refused(lab, f"/casts/{cast}/retry")
    assert state(lab, cast) == "failed"
    client.register()
    lab.operator("POST", f"/casts/{cast}/retry")
    assert parts(lab, cast) == {client.id: "ordered"}


def test_an_image_that_has_changed_is_not_cast_again(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    cast = create(lab, start_clients=1)
    client.join(cast)
    client.report("failed", cast=cast)
    lab.library.images["lab"] = "ef" * 32
    assert "is not the one" in refused(lab, f"/casts/{cast}/retry")
    assert (state(lab, cast), parts(lab, cast)) == ("failed", {client.id: "failed"})
    assert lab.library.opened[-1].closed


def test_a_machine_refused_for_want_of_a_licence_gets_one_when_there_are_more(tmp_path: Path) -> None:
    medium = FolderMedium(tmp_path / "school")
    medium.issue(1)
    lab = licensed_lab(medium)
    one, two = machines(lab, 2)
    cast = create(lab, start_clients=1)
    one.claim(cast)
    one.join(cast)
    assert not two.claim(cast)["granted"]
    two.report("failed", cast=cast)
    one.report("done", cast=cast, root=ROOT)
    assert counts(lab) == (0, 0, 1)
    medium.issue(1)
    lab.casts.close()
    lab.restart()
    two.report("failed", cast=cast)
    lab.operator("POST", f"/casts/{cast}/retry")
    assert two.claim(cast)["granted"]
    two.join(cast)
    two.report("done", cast=cast, root=ROOT)
    assert (counts(lab), state(lab, cast)) == ((0, 0, 2), "done")


def test_a_retry_takes_the_licence_that_the_machine_had(tmp_path: Path) -> None:
    medium = FolderMedium(tmp_path / "school")
    medium.issue(1)
    lab = licensed_lab(medium)
    (client,) = machines(lab, 1)
    cast = create(lab, start_clients=1)
    client.join(cast)
    client.report("failed", cast=cast)
    lab.operator("POST", f"/casts/{cast}/retry")
    client.join(cast)
    assert counts(lab) == (0, 1, 0)
    client.report("done", cast=cast, root=ROOT)
    assert counts(lab) == (0, 0, 1)
