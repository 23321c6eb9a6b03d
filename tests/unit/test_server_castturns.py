"""At most so many machines of a cast at a time: who waits, and whose turn is next."""

from __future__ import annotations

import argparse

import pytest
from castserver.casts.policy import CastRules, PartState, turns
from castserver.commands import casts as command
from castserver.machines.clients import GONE_AFTER
from hypothesis import given
from hypothesis import strategies as st

from tests.support.accounts import FROM_CONSOLE
from tests.support.faintdatabase import faint
from tests.support.serverlab import OPERATOR, ROOT, FakeClient, ServerLab
from tests.unit.test_server_castpreview import lab_of

UNDER_WAY = (PartState.ORDERED, PartState.JOINED)


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def create(lab: ServerLab, **fields: object) -> str:
    cast: str = lab.operator("POST", "/casts", {"image": "lab", **fields})["cast"]
    return cast


def machines(lab: ServerLab, number: int) -> list[FakeClient]:
    return [FakeClient(lab, n).register() for n in range(1, number + 1)]


def states(lab: ServerLab, cast: str, clients: list[FakeClient]) -> list[str]:
    """What each of ``clients`` is in, in their order; "" for no part."""
    parts = {p["client"]: p["state"] for p in lab.operator("GET", f"/casts/{cast}")["parts"]}
    return [parts.get(client.id, "") for client in clients]


def ordered(clients: list[FakeClient]) -> list[int]:
    """The places of those that get an order now."""
    return [place for place, client in enumerate(clients) if client.orders()]


@given(st.integers(1, 9), st.lists(st.sampled_from(PartState)), st.integers(0, 9))
def test_never_more_than_asked_and_never_fewer_than_there_is_room_for(
    most: int, others: list[PartState], waiting: int
) -> None:
    under_way = sum(part in UNDER_WAY for part in others)
    given_now = turns(CastRules(None, most_at_once=most), others, waiting)
    assert 0 <= given_now <= waiting
    assert given_now == 0 or under_way + given_now <= most
    assert given_now == waiting or under_way + given_now >= most
    assert turns(CastRules(None), others, waiting) == waiting


def test_the_next_is_ordered_as_one_is_done_or_fails_or_is_refused(lab: ServerLab) -> None:
    clients = machines(lab, 5)
    cast = create(lab, start_clients=1, most_at_once=2)
    assert lab.operator("GET", f"/casts/{cast}")["most_at_once"] == 2
    assert ordered(clients) == [0, 1]
    assert states(lab, cast, clients) == ["ordered"] * 2 + ["queued"] * 3
    waits = [p["message"] for p in lab.operator("GET", f"/casts/{cast}")["parts"]][2]
    assert waits == "it waits for its turn: no more than 2 machines at a time"
    clients[0].join(cast)
    clients[0].report("done", cast=cast, root=ROOT)
    assert ordered(clients) == [2]
    clients[1].report("failed", cast=cast, message="its disk is too small")
    assert ordered(clients) == [3]
    clients[2].join(cast)
    clients[2].report("failed", cast=cast)
    assert ordered(clients) == [4]
    assert states(lab, cast, clients) == ["done", "refused", "failed", "ordered", "ordered"]
    for client in clients[3:]:
        client.join(cast)
        client.report("done", cast=cast, root=ROOT)
    assert lab.operator("GET", f"/casts/{cast}")["state"] == "done"


def test_a_cast_does_not_end_while_one_waits(lab: ServerLab) -> None:
    first, second = machines(lab, 2)
    cast = create(lab, start_clients=1, most_at_once=1)
    first.join(cast)
    first.report("done", cast=cast, root=ROOT)
    assert lab.operator("GET", f"/casts/{cast}")["state"] == "running"
    second.join(cast)
    second.report("done", cast=cast, root=ROOT)
    assert lab.operator("GET", f"/casts/{cast}")["state"] == "done"


def test_one_that_is_gone_leaves_its_place_and_one_that_waits_may_be_gone(lab: ServerLab) -> None:
    clients = machines(lab, 4)
    cast = create(lab, most_at_once=1)
    lab.clock.now += GONE_AFTER + 1
    clients[3].report("ready")
    clients[1].orders()
    lab.casts.tick()
    assert states(lab, cast, clients) == ["gone", "ordered", "gone", "queued"]
    clients[0].register()
    assert states(lab, cast, clients) == ["queued", "ordered", "gone", "queued"]
    assert ordered(clients[:1]) == []


def test_late_machines_wait_as_well(lab: ServerLab) -> None:
    cast = create(lab, start_clients=1, most_at_once=1, keep_open=True)
    first, second = machines(lab, 2)
    first.join(cast)
    assert states(lab, cast, [first, second]) == ["joined", "queued"]
    second.register()
    assert states(lab, cast, [first, second]) == ["joined", "queued"], "it started anew, and still waits"
    first.report("done", cast=cast, root=ROOT)
    assert ordered([second]) == [0]
    second.join(cast)
    second.report("done", cast=cast, root=ROOT)
    assert lab.operator("GET", f"/casts/{cast}")["state"] == "open"
    third = FakeClient(lab, 3).register()
    assert ordered([third]) == [0]


def test_one_that_was_only_out_of_reach_is_under_way_all_the_same(lab: ServerLab) -> None:
    clients = machines(lab, 3)
    cast = create(lab, start_clients=1, most_at_once=1)
    clients[0].join(cast)
    lab.clock.now += GONE_AFTER + 1
    for client in clients[1:]:
        client.report("ready")
    lab.casts.tick()
    assert states(lab, cast, clients) == ["gone", "ordered", "queued"]
    clients[0].register()
    assert states(lab, cast, clients) == ["queued", "ordered", "queued"]
    clients[0].report("receiving", cast=cast)
    assert states(lab, cast, clients) == ["joined", "ordered", "queued"]
    clients[0].register()
    assert states(lab, cast, clients) == ["joined", "ordered", "queued"]
    clients[1].report("failed", cast=cast)
    assert states(lab, cast, clients) == ["joined", "refused", "queued"]
    clients[0].report("done", cast=cast, root=ROOT)
    assert states(lab, cast, clients) == ["done", "refused", "ordered"]


def test_one_that_starts_anew_in_its_turn_keeps_it(lab: ServerLab) -> None:
    clients = machines(lab, 2)
    cast = create(lab, most_at_once=1)
    assert ordered(clients) == [0]
    clients[0].register()
    assert ordered(clients) == [0]
    assert states(lab, cast, clients) == ["ordered", "queued"]


def test_it_starts_with_as_many_as_may_be_under_way(lab: ServerLab) -> None:
    clients = machines(lab, 3)
    cast = create(lab, start_clients=2, most_at_once=2)
    for client in clients[:2]:
        client.join(cast)
    assert lab.operator("GET", f"/casts/{cast}")["state"] == "running"


@pytest.mark.parametrize("path", ["/casts", "/casts/preview"])
def test_a_cast_that_could_never_start_is_refused(lab: ServerLab, path: str) -> None:
    body = {"image": "lab", "start_clients": 3, "most_at_once": 2}
    answer = lab.http.post(f"/api/v1{path}", json=body, headers=OPERATOR)
    assert answer.status_code == 403
    assert "3 machines have joined, and no more than 2" in answer.json()["error"]
    lab.log_in()
    asked = lab.http.post("/ask/cast", json=body, headers=FROM_CONSOLE)
    assert (asked.status_code, asked.json()["field"]) == (422, "most_at_once")
    assert lab.operator("GET", "/casts") == []


@pytest.mark.parametrize("most", [0, -1, 10_001, "two", 1.5])
def test_what_is_no_number_of_machines_is_refused(lab: ServerLab, most: object) -> None:
    body = {"image": "lab", "most_at_once": most}
    assert lab.http.post("/api/v1/casts", json=body, headers=OPERATOR).status_code == 422


def test_what_is_asked_for_is_shown_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_of(40, monkeypatch)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    wish = command._wish(parser.parse_args(["create", "--image", "lab", "--most-at-once", "2"]))
    assert "2 machines at a time" in command._preview(lab.operator("POST", "/casts/preview", wish))
    assert "2 machines at a time" in command._details(lab.operator("POST", "/casts", wish))
    lab.log_in()
    asked = lab.http.post("/ask/cast", json=wish, headers=FROM_CONSOLE).text
    assert "At most 2 at a time; the others wait for their turn." in asked


def test_those_who_wait_survive_a_restart_of_the_server(lab: ServerLab) -> None:
    clients = machines(lab, 3)
    cast = create(lab, start_clients=1, most_at_once=1)
    clients[0].join(cast)
    lab.restart()
    assert lab.operator("GET", f"/casts/{cast}")["most_at_once"] == 1
    assert states(lab, cast, clients) == ["ordered", "queued", "queued"]
    lab.casts.tick()
    clients[0].join(cast)
    clients[0].report("done", cast=cast, root=ROOT)
    now = states(lab, cast, clients)
    assert (now[0], sorted(now[1:])) == ("done", ["ordered", "queued"])


def test_a_paused_cast_gives_turns_as_they_come(lab: ServerLab) -> None:
    clients = machines(lab, 2)
    cast = create(lab, start_clients=1, most_at_once=1)
    clients[0].join(cast)
    lab.operator("POST", f"/casts/{cast}/pause")
    clients[0].report("failed", cast=cast)
    assert states(lab, cast, clients) == ["failed", "ordered"]
    clients[1].join(cast)
    assert lab.operator("GET", f"/casts/{cast}")["state"] == "paused"
    lab.operator("POST", f"/casts/{cast}/resume")
    clients[1].report("done", cast=cast, root=ROOT)
    assert lab.operator("GET", f"/casts/{cast}")["state"] == "done"


def test_a_retry_gives_turns_too(lab: ServerLab) -> None:
    clients = machines(lab, 3)
    cast = create(lab, most_at_once=3)
    for client in clients:
        client.report("failed", cast=cast)
        client.report("ready")
    assert states(lab, cast, clients) == ["refused"] * 3
    lab.operator("POST", f"/casts/{cast}/cancel")
    again = create(lab, most_at_once=1)
    ordered(clients)
    lab.operator("POST", f"/casts/{again}/cancel")
    assert states(lab, again, clients) == ["failed"] * 3
    lab.operator("POST", f"/casts/{again}/retry")
    assert states(lab, again, clients) == ["ordered", "queued", "queued"]
    clients[1].report("failed", cast=again, message="said before it had a turn")
    assert states(lab, again, clients) == ["ordered", "queued", "queued"]


def test_one_that_waits_is_not_taken_by_another_cast(lab: ServerLab) -> None:
    clients = machines(lab, 2)
    first = create(lab, most_at_once=1)
    second = create(lab)
    assert states(lab, first, clients) == ["ordered", "queued"]
    assert states(lab, second, clients) == ["", ""]


def test_a_turn_that_could_not_be_written_is_given_later(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = machines(lab, 2)
    cast = create(lab, start_clients=1, most_at_once=1)
    clients[0].join(cast)
    database, real = faint(lab, monkeypatch), lab.casts._orders.fill
    ordered(clients)

    def fill(cast: object) -> None:
        monkeypatch.setattr(lab.casts._orders, "fill", real)
        database.left = 1
        real(cast)  # type: ignore[arg-type]

    monkeypatch.setattr(lab.casts._orders, "fill", fill)
    path, done = f"/api/v1/clients/{clients[0].id}/report", {"state": "done", "cast": cast, "root": ROOT}
    assert lab.http.post(path, json=done, headers=clients[0].headers).status_code == 507
    assert states(lab, cast, clients) == ["done", "queued"]
    lab.casts.tick()
    assert ordered(clients) == [1]
