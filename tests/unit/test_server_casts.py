from __future__ import annotations

import pytest
from castcore.boot import BootDecision
from castcore.errors import BadImage
from castserver.casts.castrun import MOST_SLOTS, free_slot, slot_addresses
from castserver.machines.clients import GONE_AFTER

from tests.support.faintdatabase import wait_closed
from tests.support.serverlab import ROOT, FakeClient, ServerLab

DAMAGED = "lab.fcast: pack-0000 is damaged at byte 4096: chunk 2"
UUID_1 = "8f7d7a3e-1c5b-4a2f-9d3c-000000000001"


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def create(lab: ServerLab, **fields: object) -> str:
    cast: str = lab.operator("POST", "/casts", {"image": "lab", **fields})["cast"]
    return cast


def state(lab: ServerLab, cast: str) -> str:
    word: str = lab.operator("GET", f"/casts/{cast}")["state"]
    return word


def parts(lab: ServerLab, cast: str) -> dict[str, str]:
    return {p["client"]: p["state"] for p in lab.operator("GET", f"/casts/{cast}")["parts"]}


def test_a_cast_starts_when_enough_have_joined_and_ends_when_all_are_proven(lab: ServerLab) -> None:
    early, late = FakeClient(lab, 1).register(), FakeClient(lab, 2)
    cast = create(lab, start_clients=2)
    (order,) = early.orders()
    assert (order["kind"], order["cast"], order["after"]) == ("cast", cast, "reboot")
    assert early.join(cast).json() == {"client_number": 1}
    assert state(lab, cast) == "gathering"
    assert [s.started for s in lab.senders] == [False]

    late.register()
    assert [o["cast"] for o in late.orders()] == [cast]
    late.join(cast)
    assert state(lab, cast) == "running"
    assert [s.started for s in lab.senders] == [True]
    assert lab.senders[0].joined == [early.id, late.id]

    early.report("done", cast=cast, root=ROOT, multicast=5, total=5, done=5)
    assert state(lab, cast) == "running"
    late.report("done", cast=cast, root=ROOT)
    assert state(lab, cast) == "done"
    wait_closed(lab)
    assert lab.senders[0].stopped
    assert lab.library.opened[0].closed


def test_clients_learn_of_finished_ones_without_waking_a_sender_that_has_closed(lab: ServerLab) -> None:
    client, stranger = FakeClient(lab, 1).register(), FakeClient(lab, 2)
    cast = create(lab, start_clients=2)
    assert stranger.get(f"/casts/{cast}/peers").status_code == 401
    before = client.get(f"/casts/{cast}/peers").json()
    assert before == {"seeds": [], "stay": False}
    assert lab.senders == []
    client.join(cast)
    assert client.get(f"/casts/{cast}/peers").json() == {"seeds": [["10.0.0.9", 7000]], "stay": True}
    lab.operator("POST", f"/casts/{cast}/cancel")
    assert client.get(f"/casts/{cast}/peers").status_code == 404


@pytest.mark.parametrize("option", ["mac", "encrypt"])
def test_protection_is_a_choice_of_each_cast(lab: ServerLab, option: str) -> None:
    plain = lab.operator("POST", "/casts", {"image": "lab"})
    cast = lab.operator("POST", "/casts", {"image": "lab", option: True})
    assert not plain[option]
    assert lab.operator("GET", f"/casts/{cast['cast']}")[option] is True
    assert {o: cast[o] for o in ("mac", "encrypt")} == {o: o == option for o in ("mac", "encrypt")}


@pytest.mark.parametrize("peers", [True, False])
def test_whether_clients_exchange_data_is_the_casts_own(lab: ServerLab, *, peers: bool) -> None:
    wish = {"image": "lab", "start_clients": 1} | ({} if peers else {"peers": False})
    cast = lab.operator("POST", "/casts", wish)
    assert cast["peers"] is peers
    FakeClient(lab, 1).register().join(cast["cast"])
    assert lab.senders[0].options.peers is peers
    lab.restart()
    assert lab.operator("GET", f"/casts/{cast['cast']}")["peers"] is peers


def test_a_machine_just_cast_boots_its_disk_until_it_is_asked_back(lab: ServerLab) -> None:
    assert lab.clients.decide("any", UUID_1) is BootDecision.CLIENT
    client = FakeClient(lab, 1).register()
    cast = create(lab, start_clients=1)
    client.join(cast)
    assert lab.clients.decide("any", UUID_1) is BootDecision.CLIENT
    client.report("done", cast=cast, root=ROOT)
    assert lab.clients.decide("any", UUID_1) is BootDecision.LOCAL
    lab.restart()
    assert lab.clients.decide("any", UUID_1) is BootDecision.LOCAL
    lab.operator("POST", f"/clients/{client.id}/boot-client")
    assert lab.clients.decide("any", UUID_1) is BootDecision.CLIENT


def test_a_machine_cast_again_meets_our_client_when_it_restarts_half_written(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(first := create(lab, start_clients=1))
    client.report("done", cast=first, root=ROOT)
    client.register()
    client.join(create(lab, start_clients=1))
    assert lab.clients.decide("any", UUID_1) is BootDecision.CLIENT


def test_a_wrong_root_is_a_failure_with_both_roots_named(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := create(lab, start_clients=1))
    client.report("done", cast=cast, root="cd" * 32)
    shown = lab.operator("GET", f"/casts/{cast}")
    assert (shown["state"], shown["parts"][0]["state"]) == ("failed", "failed")
    assert "cdcd" in shown["parts"][0]["message"]
    assert "abab" in shown["parts"][0]["message"]
    assert lab.clients.decide("any", UUID_1) is BootDecision.CLIENT


def test_a_refusal_does_not_count_as_joined(lab: ServerLab) -> None:
    small, good = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    cast = create(lab, start_clients=1)
    small.report("failed", cast=cast, message="disk of 8 GiB, 20 GiB needed")
    assert state(lab, cast) == "gathering"
    assert small.orders()[0]["cast"] == cast
    small.report("ready")
    assert small.orders() == []
    good.join(cast)
    assert parts(lab, cast) == {small.id: "refused", good.id: "joined"}
    assert state(lab, cast) == "running"


def test_a_machine_that_registers_anew_after_it_rejoined_is_not_waited_for(lab: ServerLab) -> None:
    clients = [FakeClient(lab, number).register() for number in range(1, 4)]
    cast = create(lab, start_clients=3)
    for client in clients[:2]:
        client.join(cast)
    lab.restart()
    for client in clients[:2]:
        client.join(cast)
        client.register()
    assert state(lab, cast) == "gathering"
    clients[2].join(cast)
    assert state(lab, cast) == "running"


def test_a_cast_on_command_waits_for_the_command(lab: ServerLab) -> None:
    cast = create(lab)
    refused = lab.http.post(
        f"/api/v1/casts/{cast}/start", headers={"Authorization": "Bearer operator-token-of-the-tests"}
    )
    assert refused.status_code == 403
    assert "no machine has joined" in refused.json()["error"]
    client = FakeClient(lab, 1).register()
    client.join(cast)
    assert state(lab, cast) == "gathering"
    assert lab.operator("POST", f"/casts/{cast}/start")["state"] == "running"
    assert lab.senders[0].started


def test_an_open_cast_runs_again_for_a_late_machine(lab: ServerLab) -> None:
    first = FakeClient(lab, 1).register()
    first.join(cast := create(lab, start_clients=1, keep_open=True))
    first.report("done", cast=cast, root=ROOT)
    assert state(lab, cast) == "open"
    lab.senders[0].over = True
    late = FakeClient(lab, 2).register()
    assert [o["cast"] for o in late.orders()] == [cast]
    late.join(cast)
    assert state(lab, cast) == "running"
    assert [s.started for s in lab.senders] == [True, True]
    assert lab.senders[0].stopped
    late.report("done", cast=cast, root=ROOT)
    assert state(lab, cast) == "open"
    first.register()
    assert first.orders() == []


def test_joining_a_sender_that_has_closed_sends_back_to_the_descriptor(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := create(lab, start_clients=1))
    lab.senders[0].over = True
    again = lab.http.post(f"/api/v1/casts/{cast}/join", json={}, headers=client.headers)
    assert again.status_code == 409
    assert "descriptor" in again.json()["hint"]
    assert client.join(cast).status_code == 200
    assert lab.senders[1].started


def test_what_a_client_holds_reaches_the_sender(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := create(lab, start_clients=2))
    for body, status in (({"held": "aGFsZg=="}, 200), ({"held": "?"}, 422), ({"holds": ""}, 422)):
        answer = lab.http.post(f"/api/v1/casts/{cast}/join", json=body, headers=client.headers)
        assert answer.status_code == status
    assert lab.senders[0].held == {client.id: b"half"}
    selection = lab.http.get(f"/api/v1/casts/{cast}/selection/2", headers=client.headers)
    assert selection.content == b"selection 2"


def test_only_the_named_machines_are_ordered(lab: ServerLab) -> None:
    wanted, other = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    create(lab, start_clients=1, clients=[wanted.id])
    assert len(wanted.orders()) == 1
    assert other.orders() == []


def test_a_silent_machine_is_gone_and_the_cast_ends_without_it(lab: ServerLab) -> None:
    silent, well = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    cast = create(lab, start_clients=2)
    silent.join(cast)
    well.join(cast)
    lab.clock.now += GONE_AFTER - 1
    well.report("done", cast=cast, root=ROOT)
    lab.casts.tick()
    assert state(lab, cast) == "running"
    lab.clock.now += 2
    lab.casts.tick()
    assert parts(lab, cast) == {silent.id: "gone", well.id: "done"}
    assert state(lab, cast) == "done"


def test_a_machine_that_restarts_in_the_middle_is_ordered_in_again(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := create(lab, start_clients=1))
    client.report("receiving", cast=cast)
    assert client.orders()[0]["cast"] == cast
    client.register()
    assert client.orders()[0]["cast"] == cast


def test_casts_at_once_have_their_own_slots_and_machines(lab: ServerLab) -> None:
    first = create(lab, start_clients=1)
    second = create(lab, start_clients=1)
    client = FakeClient(lab, 1).register()
    client.join(first)
    assert [o["cast"] for o in client.orders()] == [first]
    other = FakeClient(lab, 2).register()
    lab.operator("POST", f"/casts/{first}/cancel")
    other.report("ready")
    other.join(second)
    assert [s.slot for s in lab.senders] == [0, 1]


def test_cancelling_ends_the_sender_and_says_so(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := create(lab, start_clients=1))
    shown = lab.operator("POST", f"/casts/{cast}/cancel")
    assert shown["state"] == "cancelled"
    assert shown["parts"][0]["message"] == "cancelled by the operator"
    wait_closed(lab)
    assert lab.senders[0].aborted
    assert client.get(f"/casts/{cast}/descriptor").status_code == 404


def test_a_machine_given_up_that_proves_itself_later_changes_its_part_only(lab: ServerLab) -> None:
    slow = FakeClient(lab, 1).register()
    slow.join(cast := create(lab, start_clients=1))
    lab.clock.now += GONE_AFTER + 1
    lab.casts.tick()
    ended = lab.operator("GET", f"/casts/{cast}")
    assert (ended["state"], parts(lab, cast)) == ("failed", {slow.id: "gone"})
    slow.report("done", cast=cast, root=ROOT)
    after = lab.operator("GET", f"/casts/{cast}")
    assert parts(lab, cast) == {slow.id: "done"}
    assert (after["state"], after["message"]) == ("failed", ended["message"])
    assert lab.clients.decide("any", UUID_1) is BootDecision.LOCAL


def test_a_sender_that_fails_ends_the_cast_with_its_reason(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := create(lab, start_clients=1, keep_open=True))
    lab.senders[0].failure = "packs/0 cannot be read: Input/output error"
    lab.casts.tick()
    shown = lab.operator("GET", f"/casts/{cast}")
    assert (shown["state"], shown["message"]) == ("failed", lab.senders[0].failure)
    wait_closed(lab)
    assert lab.senders[0].aborted


def test_a_running_cast_survives_a_restart_and_its_client_needs_no_new_registration(
    lab: ServerLab,
) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := create(lab, start_clients=1))
    client.report("receiving", cast=cast)
    lab.restart()
    shown = lab.operator("GET", f"/casts/{cast}")
    assert shown["state"] == "running"
    assert "restarted" in shown["message"]
    client.report("receiving", cast=cast)
    assert client.join(cast).status_code == 200
    assert lab.senders[0].started
    client.report("done", cast=cast, root=ROOT)
    assert state(lab, cast) == "done"


def test_a_gathering_cast_goes_on_gathering_after_a_restart(lab: ServerLab) -> None:
    first = FakeClient(lab, 1).register()
    first.join(cast := create(lab, start_clients=2))
    lab.restart()
    assert state(lab, cast) == "gathering"
    second = FakeClient(lab, 2).register()
    second.join(cast)
    assert state(lab, cast) == "gathering"
    first.join(cast)
    assert state(lab, cast) == "running"


def test_a_cast_whose_image_changed_over_a_restart_has_failed(lab: ServerLab) -> None:
    cast = create(lab, start_clients=1)
    lab.library.images["lab"] = "ef" * 32
    lab.restart()
    shown = lab.operator("GET", f"/casts/{cast}")
    assert shown["state"] == "failed"
    assert "image lab" in shown["message"]


def test_order_numbers_grow_over_a_restart(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    create(lab, start_clients=1)
    assert client.orders()[0]["number"] == 1
    lab.restart()
    client.register()
    assert [o["number"] for o in client.orders()] == [2]


def test_slots_are_reused_and_their_addresses_differ() -> None:
    assert free_slot({0, 1, 3}) == 2
    assert slot_addresses(0, 7) == ("239.193.7.0", 7100, 7101)
    assert len({slot_addresses(n, 7) for n in range(MOST_SLOTS)}) == MOST_SLOTS


def test_who_asks_a_failed_cast_hears_its_reason_and_gets_no_fresh_sender(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := create(lab, start_clients=1, keep_open=True))
    lab.senders[0].failure, lab.senders[0].over = DAMAGED, True
    before_the_tick = client.get(f"/casts/{cast}/descriptor")
    lab.casts.tick()
    after_it = client.get(f"/casts/{cast}/descriptor")
    assert [a.status_code for a in (before_the_tick, after_it)] == [404, 404]
    assert before_the_tick.json()["error"] == DAMAGED
    assert after_it.json()["error"] == f"the cast is failed: {DAMAGED}"
    assert len(lab.senders) == 1


def test_the_senders_failure_is_the_casts_reason_though_a_machine_reports_first(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := create(lab, start_clients=1))
    lab.senders[0].failure = DAMAGED
    client.report("failed", cast=cast, message="the cast was ended")
    shown = lab.operator("GET", f"/casts/{cast}")
    assert (shown["state"], shown["message"]) == ("failed", DAMAGED)


def test_a_chunk_that_cannot_be_read_for_one_machine_fails_the_cast(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := create(lab, start_clients=1))
    lab.library.opened[0].failure = BadImage(DAMAGED)
    lab.casts.tick()
    shown = lab.operator("GET", f"/casts/{cast}")
    assert (shown["state"], shown["message"]) == ("failed", DAMAGED)
    assert client.get(f"/casts/{cast}/chunks/0").status_code == 404
