"""Who is let in, over HTTP: approval by hand, two machines that claim to be one, restarts, denial."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
from castcore.words import machine_words
from castserver.accounts.roles import Role
from castserver.machines.clients import GONE_AFTER
from castserver.machines.machinetrust import ANSWER_SECONDS, HOLDS_SECONDS, MOST_DENIED

from tests.support.serverlab import OPERATOR, FakeClient, ServerLab


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def standing(client: FakeClient) -> str:
    said = client.ask_in().json()
    assert bool(said["token"]) is (said["standing"] == "admitted")
    return str(said["standing"])


def shown(lab: ServerLab, client: FakeClient) -> Any:
    return lab.operator("GET", f"/clients/{client.id}")


def code(client: FakeClient) -> str:
    return machine_words(client.key.public)


# -- approval by hand -----------------------------------------------------------------------------


def test_a_machine_waits_until_it_is_approved_and_then_comes_by_itself(lab: ServerLab) -> None:
    assert lab.operator("PUT", "/approval", {"required": True}) == {"required": True, "waiting": 0}
    cast = lab.operator("POST", "/casts", {"image": "lab"})["cast"]
    client = FakeClient(lab, 1).register()
    assert client.token == ""
    machine = shown(lab, client)
    assert (machine["state"], machine["online"]) == ("waiting", False)
    assert machine["trust"]["code"] == code(client)
    assert code(client) in machine["why"]
    assert lab.operator("GET", "/approval")["waiting"] == 1
    assert lab.operator("GET", f"/casts/{cast}")["parts"] == []
    # What the operator can do to machines does not reach it.
    order = lab.http.post(
        f"/api/v1/clients/{client.id}/order", json={"kind": "reboot"}, headers=OPERATOR
    )
    assert order.status_code == 403
    capture = lab.http.post("/api/v1/captures", json={"client": client.id}, headers=OPERATOR)
    assert capture.status_code == 403
    lab.operator("POST", f"/clients/{client.id}/approve", {"code": code(client)})
    client.register()
    assert [o["cast"] for o in client.orders()] == [cast]
    assert shown(lab, client)["state"] == "ready"


def test_an_approval_is_the_machines_over_boots_and_restarts_of_the_server(lab: ServerLab) -> None:
    lab.operator("PUT", "/approval", {"required": True})
    client = FakeClient(lab, 1).register()
    lab.operator("POST", f"/clients/{client.id}/approve", {})
    lab.restart()
    assert lab.operator("GET", "/approval")["required"] is True
    lab.clock.now += HOLDS_SECONDS + 1
    assert standing(client.start_anew()) == "admitted"
    assert standing(FakeClient(lab, 2)) == "waiting"


def test_turning_it_on_sends_those_back_who_were_never_approved(lab: ServerLab) -> None:
    known, new = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    lab.operator("POST", f"/clients/{known.id}/approve", {})
    lab.operator("PUT", "/approval", {"required": True})
    assert known.get(f"/clients/{known.id}/orders").status_code == 200
    assert new.get(f"/clients/{new.id}/orders").status_code == 401
    assert standing(new) == "waiting"
    lab.operator("PUT", "/approval", {"required": False})
    assert standing(new) == "admitted"


def test_it_is_not_turned_on_under_a_cast(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(lab.operator("POST", "/casts", {"image": "lab"})["cast"])
    answer = lab.http.put("/api/v1/approval", json={"required": True}, headers=OPERATOR)
    assert answer.status_code == 403
    assert client.id in answer.json()["error"]
    assert lab.operator("GET", "/approval")["required"] is False


def test_a_restart_with_the_option_drops_the_sessions_of_the_unapproved(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    lab.approvals.require(True)
    lab.restart()
    assert client.get(f"/clients/{client.id}/orders").status_code == 401


def test_a_denied_machine_stays_out_whatever_is_chosen(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    cast = lab.operator("POST", "/casts", {"image": "lab"})["cast"]
    client.join(cast)
    lab.operator("POST", f"/clients/{client.id}/deny", {})
    assert client.get(f"/casts/{cast}/manifest").status_code == 401
    lab.casts.tick()
    assert lab.operator("GET", f"/casts/{cast}")["parts"][0]["state"] == "gone"
    assert standing(client) == "denied"
    assert shown(lab, client)["state"] == "denied"
    lab.restart()
    lab.clock.now += GONE_AFTER + 1
    assert standing(client.start_anew()) == "denied"
    lab.operator("POST", f"/clients/{client.id}/approve", {})
    assert standing(client) == "admitted"


# -- two that claim to be one ---------------------------------------------------------------------


def impostor_of(client: FakeClient) -> FakeClient:
    """Another machine with the same UUID and serial numbers."""
    other = FakeClient(client.lab, 1).start_anew()
    other.id = client.id
    return other


def test_nobody_takes_a_machine_over_that_is_here(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    impostor = impostor_of(client)
    for _ in range(20):  # for a minute, as long as the real one answers
        assert standing(impostor) == "rival"
        assert client.orders() == []
        lab.clock.now += 3
    machine = shown(lab, client)
    assert (machine["online"], machine["state"]) == (True, "ready")
    assert [r["code"] for r in machine["trust"]["rivals"]] == [code(impostor)]
    assert machine["trust"]["code"] == code(client)
    assert "2 machines say" in machine["why"]


def test_who_does_not_answer_makes_room(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    again = impostor_of(client)
    assert standing(again) == "rival"
    lab.clock.now += ANSWER_SECONDS + 0.1
    assert standing(again) == "admitted"
    # And if it was here after all, it is seen: the two say that they are one.
    assert client.get(f"/clients/{client.id}/orders").status_code == 401
    assert standing(client) == "rival"
    assert [r["code"] for r in shown(lab, client)["trust"]["rivals"]] == [code(client)]


def test_a_long_poll_is_answered_when_another_claims_the_machine(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    seen = lab.clients.get(client.id).signal.count
    standing(impostor_of(client))
    assert lab.clients.get(client.id).signal.count > seen


def test_a_machine_that_said_it_restarts_comes_back_at_once(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.report("rebooting")
    assert standing(client.start_anew()) == "admitted"


def test_a_machine_that_did_not_restart_after_all_is_held_again(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.report("rebooting")
    client.report("ready")
    assert standing(impostor_of(client)) == "rival"


def test_nobody_slips_in_while_the_server_restarts(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    lab.restart()
    assert standing(impostor_of(client)) == "rival"
    assert shown(lab, client)["trust"]["code"] == code(client)
    assert client.orders() == []


def test_a_code_that_is_not_computed_yet_names_nobody(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    standing(impostor := impostor_of(client))
    trust = lab.clients.get(client.id).trust
    trust.code, trust.rivals = "", tuple(dataclasses.replace(r, code="") for r in trust.rivals)
    path = f"/api/v1/clients/{client.id}/approve"
    for blank in ("", " "):
        assert lab.http.post(path, json={"code": blank}, headers=OPERATOR).status_code == 403
    early = lab.http.post(path, json={"code": code(impostor)}, headers=OPERATOR)
    assert early.status_code == 404


def test_the_operator_decides_who_of_two_it_is(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    impostor = impostor_of(client)
    assert standing(impostor) == "rival"
    path = f"/api/v1/clients/{client.id}/approve"
    unnamed = lab.http.post(path, json={}, headers=OPERATOR)
    assert unnamed.status_code == 403
    assert code(client) in unnamed.json()["error"]
    assert code(impostor) in unnamed.json()["error"]
    stranger = lab.http.post(path, json={"code": "acid-acid-acid-acid"}, headers=OPERATOR)
    assert stranger.status_code == 404
    lab.operator("POST", f"/clients/{client.id}/approve", {"code": code(impostor)})
    assert standing(impostor) == "admitted"
    assert standing(client) == "rival"


def test_a_rival_that_is_denied_is_gone_until_it_starts_anew(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    impostor = impostor_of(client)
    standing(impostor)
    lab.operator("POST", f"/clients/{client.id}/deny", {"code": code(impostor)})
    assert standing(impostor) == "denied"
    assert shown(lab, client)["trust"]["rivals"] == []
    assert client.orders() == []
    lab.clock.now += HOLDS_SECONDS + 1
    assert standing(impostor) == "denied"
    assert standing(client.start_anew()) == "admitted"


def test_a_rival_that_was_denied_stays_so_over_a_restart_of_the_server(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    impostor = impostor_of(client)
    standing(impostor)
    lab.operator("POST", f"/clients/{client.id}/deny", {"code": code(impostor)})
    for _ in range(2):
        lab.restart()
        assert standing(impostor) == "denied"
        assert shown(lab, client)["trust"]["rivals"] == []
        assert standing(client.start_anew()) == "rival"  # as the server's start counts as a sign of life
        lab.clock.now += HOLDS_SECONDS + 1
        assert standing(impostor) == "denied"
        assert standing(client) == "admitted"


def test_so_many_denied_keys_are_remembered(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    denied = [impostor_of(client) for _ in range(MOST_DENIED + 1)]
    for impostor in denied:
        assert standing(impostor) == "rival"
        lab.operator("POST", f"/clients/{client.id}/deny", {"code": code(impostor)})
    lab.restart()
    assert [standing(impostor) for impostor in denied] == ["rival", *["denied"] * MOST_DENIED]


def test_of_two_that_wait_the_approved_code_comes_in(lab: ServerLab) -> None:
    lab.operator("PUT", "/approval", {"required": True})
    first = FakeClient(lab, 1).register()
    second = impostor_of(first)
    assert standing(second) == "rival"
    lab.operator("POST", f"/clients/{first.id}/approve", {"code": code(second)})
    assert standing(first) == "rival"
    assert standing(second) == "admitted"


def test_a_rival_changes_nothing_that_is_known_of_the_machine(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    impostor = FakeClient(lab, 1, serial="")
    impostor.start_anew()
    before = lab.clients.get(client.id).registration
    assert standing(impostor) == "rival"
    assert lab.clients.get(client.id).registration is before


# -- what people see ------------------------------------------------------------------------------


def test_the_console_offers_to_approve_and_deny(lab: ServerLab) -> None:
    lab.operator("PUT", "/approval", {"required": True})
    client = FakeClient(lab, 1).register()
    standing(impostor := impostor_of(client))
    lab.log_in()
    page = lab.http.get("/live").text
    for one in (client, impostor):
        for what in ("approve", "deny"):
            assert f'data-do="{what}" data-client="{client.id}"' in page
        assert f'data-code="{code(one)}"' in page


def test_who_approved_stands_in_the_audit_log(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    lab.operator("POST", f"/clients/{client.id}/approve", {"code": ""})
    (newest,) = lab.operator("GET", "/audit?limit=1")
    assert newest["action"] == f"POST /api/v1/clients/{client.id}/approve"


@pytest.mark.parametrize(("off", "said"), [(7300, "2.0 h ahead"), (-7300, "2.0 h behind"), (100, "")])
def test_a_clock_that_is_far_off_is_said(lab: ServerLab, off: int, said: str) -> None:
    client = FakeClient(lab, 1)
    client.registration = dataclasses.replace(client.registration, clock=int(time.time()) + off)
    client.register()
    why = shown(lab, client)["why"]
    assert said in why if said else why == ""


def test_an_administrator_chooses_it_in_the_console(lab: ServerLab) -> None:
    lab.log_in(Role.ADMIN)
    assert 'data-do="approval" data-on="1"' in lab.http.get("/settings").text
    lab.operator("PUT", "/approval", {"required": True})
    assert 'data-do="approval" data-on=""' in lab.http.get("/settings").text


def test_a_monitor_sees_who_waits_and_who_is_claimed_twice(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    standing(impostor_of(client))
    lab.operator("PUT", "/approval", {"required": True})
    FakeClient(lab, 2).register()
    said = lab.http.get("/metrics", headers=OPERATOR).text
    assert "fleetcast_machine_rivals 1.0" in said
    assert 'fleetcast_machines{state="waiting"} 2.0' in said
    lab.log_in()
    page = lab.http.get("/machines").text
    for state in ("waiting", "denied"):
        assert f'<option value="{state}"' in page
