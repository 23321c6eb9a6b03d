"""Machines as people see them: named, added by hand and claimed, marked, removed."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from castcore.control import Nic
from castserver.casts.casts import Casts
from castserver.machines import machinebook
from castserver.machines.clients import Client, Clients
from castserver.machines.machinecard import LONGEST_NAME, LONGEST_NOTE

from tests.support import databases
from tests.support.serverlab import OPERATOR, ROOT, FakeClient, ServerLab

MAC_9 = "52:54:00:00:00:09"
UUID_9 = "8f7d7a3e-1c5b-4a2f-9d3c-000000000009"
SWAPPED_9 = "3e7a7d8f-5b1c-2f4a-9d3c-000000000009"


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


@pytest.fixture
def durable(tmp_path: Path) -> ServerLab:
    """A server whose database is a file: there the rows that others point to cannot go."""
    return ServerLab(databases.at(tmp_path / "server.sqlite"))


def add(lab: ServerLab, **fields: object) -> Any:
    return lab.operator("POST", "/machines", fields)


def refused(lab: ServerLab, method: str, path: str, body: Any = None, status: int = 403) -> str:
    answer = lab.http.request(method, f"/api/v1{path}", json=body, headers=OPERATOR)
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"])


def machine(lab: ServerLab, name: str) -> Any:
    return lab.operator("GET", f"/clients/{name}")


def with_macs(lab: ServerLab, number: int, *macs: str, **fields: Any) -> FakeClient:
    client = FakeClient(lab, number, **fields)
    nics = tuple(Nic(f"eth{n}", mac) for n, mac in enumerate(macs))
    object.__setattr__(client.registration, "nics", nics)
    return client


# -- names, tags, groups --------------------------------------------------------------------------


def test_a_machine_is_found_by_id_name_and_mac(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    lab.operator("PUT", f"/machines/{client.id}", {"name": " PC  01 "})
    for name in (
        client.id,
        "PC 01",
        "pc 01",
        "\uff30\uff23 01",
        "52:54:00:00:00:01",
        "52-54-00-00-00-01",
    ):
        assert machine(lab, name)["client"] == client.id, name
    assert machine(lab, client.id)["label"] == "PC 01"
    lab.restart()
    assert machine(lab, "PC 01")["client"] == client.id
    refused(lab, "GET", "/clients/PC 02", status=404)


def test_a_card_that_two_machines_had_names_neither(lab: ServerLab) -> None:
    shared = "00:e0:4c:00:00:99"
    ids = [with_macs(lab, n, f"52:54:00:00:00:{n:02}", shared).register().id for n in (1, 2)]
    said = refused(lab, "GET", f"/clients/{shared}")
    assert all(name in said for name in ids)
    assert machine(lab, ids[0])["client"] == ids[0]


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "m12345678",
        "52:54:00:00:00:01",
        "52-54-00-00-00-01",
        "a\x00b",
        "\ud800",
        "x" * 65,
        "a\u200eb",
    ],
)
def test_what_cannot_be_a_name_is_refused(lab: ServerLab, name: str) -> None:
    client = FakeClient(lab, 1).register()
    path = f"/api/v1/machines/{client.id}"
    body = b'{"name": "' + name.encode("unicode_escape").replace(b"\\x", b"\\u00") + b'"}'
    headers = {**OPERATOR, "Content-Type": "application/json"}
    assert 400 <= lab.http.put(path, content=body, headers=headers).status_code < 500
    assert machine(lab, client.id)["name"] == ""


def test_a_name_is_one_machines(lab: ServerLab) -> None:
    one, two = (FakeClient(lab, n).register() for n in (1, 2))
    lab.operator("PUT", f"/machines/{one.id}", {"name": "Desk"})
    assert one.id in refused(lab, "PUT", f"/machines/{two.id}", {"name": "DESK"})
    lab.operator("PUT", f"/machines/{one.id}", {"name": "desk"})
    lab.operator("PUT", f"/machines/{one.id}", {"name": ""})
    lab.operator("PUT", f"/machines/{two.id}", {"name": "DESK"})


def test_what_is_left_out_stays(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    full = {"name": "n", "tags": ["t"], "groups": ["g"], "note": "a\r\nb"}
    lab.operator("PUT", f"/machines/{client.id}", full)
    lab.operator("PUT", f"/machines/{client.id}", {"tags": ["b", "a", "B"]})
    client.register()
    shown = machine(lab, "n")
    assert [shown[k] for k in ("name", "tags", "groups", "note")] == ["n", ["a", "b"], ["g"], "a\nb"]


def test_marks_are_given_to_all_or_none(lab: ServerLab) -> None:
    ids = [FakeClient(lab, n).register().id for n in (1, 2, 3)]
    marks = {"machines": ids[:2], "add_groups": ["ROOM1", "all"], "add_tags": ["ssd"]}
    lab.operator("POST", "/machines/marks", marks)
    lab.operator("POST", "/machines/marks", {"machines": [ids[2], ids[2]], "add_groups": ["room1"]})
    lab.operator("POST", "/machines/marks", {"machines": [ids[0]], "remove_groups": ["ALL", "none"]})
    assert lab.operator("GET", "/machines/marks") == {
        "groups": {"ROOM1": 3, "all": 1},
        "tags": {"ssd": 2},
    }
    bad = {"machines": ids, "add_tags": ["x", "a|b"]}
    assert "cannot be a tag" in refused(lab, "POST", "/machines/marks", bad)
    refused(lab, "POST", "/machines/marks", {"machines": [*ids, "nobody"], "add_tags": ["x"]}, 404)
    assert lab.operator("GET", "/machines/marks")["tags"] == {"ssd": 2}


def test_bounds_are_kept(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    path = f"/machines/{client.id}"
    lab.operator("PUT", path, {"name": "\u3042" * LONGEST_NAME, "note": "x" * LONGEST_NOTE})
    refused(lab, "PUT", path, {"note": "x" * (LONGEST_NOTE + 1)})
    refused(lab, "PUT", path, {"tags": [str(n) for n in range(51)]}, 422)
    lab.operator("PUT", path, {"tags": [str(n) for n in range(50)]})
    refused(lab, "POST", "/machines/marks", {"machines": [client.id], "add_tags": ["more"]})


# -- added by hand --------------------------------------------------------------------------------


@pytest.mark.parametrize("uuid", [UUID_9, UUID_9.upper(), SWAPPED_9])
def test_an_entry_with_a_uuid_is_its_machines(lab: ServerLab, uuid: str) -> None:
    entry = add(lab, name="PC09", uuid=uuid, macs=["52:54:00:00:00:77"], groups=["ROOM1"])
    assert (entry["met"], entry["state"], entry["last_seen"]) == (False, "offline", 0)
    lab.restart()
    client = FakeClient(lab, 9).register()
    assert client.id == entry["client"]
    shown = machine(lab, "PC09")
    assert (shown["met"], shown["groups"], shown["machine"]["product"]) == (True, ["ROOM1"], "Desk 3")


def test_an_entry_with_a_mac_is_claimed_by_the_first_that_has_it(lab: ServerLab) -> None:
    entry = add(lab, name="PC09", macs=["52-54-00-00-00-09"])
    first = with_macs(lab, 1, MAC_9).register()
    second = with_macs(lab, 2, MAC_9).register()
    assert first.id == entry["client"] != second.id
    assert first.id == with_macs(lab, 1, "52:54:00:00:00:01").register().id
    assert machine(lab, "PC09")["client"] == first.id
    assert machine(lab, second.id)["doubt"] == ""


def test_a_known_machine_does_not_claim_by_a_mac(durable: ServerLab) -> None:
    lab = durable
    known = FakeClient(lab, 1).register()
    entry = add(lab, name="PC09", macs=[MAC_9])
    with_macs(lab, 1, "52:54:00:00:00:01", MAC_9).register()
    assert machine(lab, "PC09")["met"] is False
    assert "PC09" in machine(lab, known.id)["doubt"]
    lab.operator("POST", f"/machines/{known.id}/claim", {"entry": entry["client"]})
    assert machine(lab, "PC09")["client"] == known.id
    assert machine(lab, known.id)["doubt"] == ""
    refused(lab, "GET", f"/clients/{entry['client']}", status=404)


def test_two_entries_of_one_machine_are_told_not_guessed(lab: ServerLab) -> None:
    add(lab, name="left", macs=["52:54:00:00:00:01"])
    add(lab, name="right", macs=["52:54:00:00:00:02"])
    client = with_macs(lab, 7, "52:54:00:00:00:01", "52:54:00:00:00:02").register()
    shown = machine(lab, client.id)
    assert shown["name"] == ""
    assert "left" in shown["doubt"]
    assert "right" in shown["doubt"]
    assert [machine(lab, name)["met"] for name in ("left", "right")] == [False, False]


def test_the_uuid_outweighs_anothers_mac(lab: ServerLab) -> None:
    add(lab, name="by mac", macs=[MAC_9])
    add(lab, name="by uuid", uuid=UUID_9)
    client = with_macs(lab, 9, MAC_9).register()
    assert machine(lab, client.id)["name"] == "by uuid"
    assert machine(lab, "by mac")["met"] is False


def test_serials_tell_entries_of_one_uuid_apart(lab: ServerLab) -> None:
    for serial in ("A1", "A2"):
        add(lab, name=serial, uuid=UUID_9, serial=serial)
    assert "already" in refused(lab, "POST", "/machines", {"uuid": UUID_9})
    client = FakeClient(lab, 9, serial="A2").register()
    assert machine(lab, client.id)["name"] == "A2"
    assert machine(lab, FakeClient(lab, 9, serial="A3").register().id)["name"] == ""


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "nothing"},
        {"serial": "A1"},
        {"uuid": "03000200-0400-0500-0006-000700080009"},
        {"uuid": "no uuid"},
        {"macs": ["52:54:00:00:00"]},
        {"macs": ["01:00:5e:00:00:01"]},
        {"macs": ["00:00:00:00:00:00"]},
        {"macs": [MAC_9], "serial": "To be filled by O.E.M."},
    ],
)
def test_an_entry_must_be_known_by_something(lab: ServerLab, body: Any) -> None:
    refused(lab, "POST", "/machines", body)
    assert lab.clients.all() == []


def test_what_is_known_is_not_added(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    assert client.id in refused(lab, "POST", "/machines", {"macs": ["52:54:00:00:00:01"]})
    assert client.id in refused(
        lab, "POST", "/machines", {"uuid": "8f7d7a3e-1c5b-4a2f-9d3c-000000000001"}
    )
    entry = add(lab, macs=[MAC_9])
    assert entry["client"] in refused(lab, "POST", "/machines", {"macs": [MAC_9]})


def test_an_entry_is_told_apart_from_a_machine_that_is_away(lab: ServerLab) -> None:
    assert "added by hand" in add(lab, name="PC09", macs=[MAC_9])["why"]


def test_what_an_entry_boots_is_its_machines_order(lab: ServerLab) -> None:
    entry = add(lab, name="PC09", macs=[MAC_9])
    found = lab.clients.at_boot(MAC_9.upper(), UUID_9)
    assert found is not None
    assert found.id == entry["client"]


# -- removed --------------------------------------------------------------------------------------


def away(lab: ServerLab) -> None:
    lab.clock.now += 1000


def cast_to(lab: ServerLab, client: FakeClient) -> str:
    body = {"image": "lab", "start_clients": 1, "clients": [client.id]}
    cast: str = lab.operator("POST", "/casts", body)["cast"]
    assert client.join(cast).status_code == 200
    client.report("done", cast=cast, root=ROOT, written=7, seconds=3)
    return cast


def test_a_removed_machine_is_gone_and_met_anew(durable: ServerLab) -> None:
    lab = durable
    client = FakeClient(lab, 1).register()
    lab.operator("PUT", f"/machines/{client.id}", {"name": "PC01"})
    assert "runs on machine" in refused(lab, "POST", "/machines/PC01/remove", status=409)
    away(lab)
    lab.operator("POST", "/machines/PC01/remove")
    assert lab.clients.all() == []
    lab.restart()
    assert lab.clients.all() == []
    assert client.get("/clients/x/orders").status_code == 401
    again = FakeClient(lab, 1).register()
    assert machine(lab, again.id)["name"] == ""


def test_of_two_who_remove_a_machine_the_second_hears_that_there_is_none(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = FakeClient(lab, 1).register()
    away(lab)
    path = f"/api/v1/machines/{client.id}/remove"
    answers: list[int] = []
    other = Thread(target=lambda: answers.append(lab.http.post(path, headers=OPERATOR).status_code))
    remove = machinebook.remove

    def slowly(clients: Clients, casts: Casts, found: Client) -> None:
        if not other.ident:
            other.start()
            other.join(1.0)  # until it is done, or waits for us
        remove(clients, casts, found)

    monkeypatch.setattr(machinebook, "remove", slowly)
    lab.operator("POST", f"/machines/{client.id}/remove")
    other.join()
    assert answers == [404]


def test_a_removed_machine_keeps_its_history(durable: ServerLab) -> None:
    lab = durable
    client = FakeClient(lab, 1).register()
    cast = cast_to(lab, client)
    away(lab)
    lab.operator("POST", f"/machines/{client.id}/remove")
    for _ in range(2):
        assert lab.operator("GET", f"/casts/{cast}")["parts"][0]["client"] == client.id
        assert [w["cast"] for w in lab.operator("GET", f"/machines/{client.id}/history")] == [cast]
        assert lab.operator("GET", "/clients") == []
        lab.restart()
    refused(lab, "GET", f"/clients/{client.id}", status=404)
    assert lab.clients.decide("52:54:00:00:00:01", client.registration.machine.uuid).value == "client"
    assert client.register().id
    assert machine(lab, client.id)["client"] == client.id
    assert [w["cast"] for w in lab.operator("GET", f"/machines/{client.id}/history")] == [cast]


def test_a_machine_in_a_cast_stays(durable: ServerLab) -> None:
    lab = durable
    client = FakeClient(lab, 1).register()
    entry = add(lab, macs=[MAC_9])["client"]
    body = {"image": "lab", "clients": [client.id, entry]}
    cast = lab.operator("POST", "/casts", body)["cast"]
    away(lab)
    for name in (client.id, entry):
        assert cast in refused(lab, "POST", f"/machines/{name}/remove", status=409)
    lab.operator("POST", f"/casts/{cast}/cancel")
    for name in (client.id, entry):
        lab.operator("POST", f"/machines/{name}/remove")


@pytest.mark.parametrize("known", [{"uuid": UUID_9}, {"macs": [MAC_9]}])
def test_an_entry_made_since_wins_over_what_was_removed(durable: ServerLab, known: Any) -> None:
    lab = durable
    client = FakeClient(lab, 9).register()
    cast_to(lab, client)
    away(lab)
    lab.operator("POST", f"/machines/{client.id}/remove")
    entry = add(lab, name="PC09", **known)
    assert FakeClient(lab, 9).register().id == entry["client"]


def test_a_machine_that_waits_for_approval_has_its_entrys_name_and_loses_it_with_its_approval(
    durable: ServerLab,
) -> None:
    lab = durable
    lab.operator("PUT", "/approval", {"required": True})
    entry = add(lab, name="PC01", macs=["52:54:00:00:00:01"])["client"]
    client = FakeClient(lab, 1).register()
    assert (client.id, client.token) == (entry, "")
    assert machine(lab, "PC01")["state"] == "waiting"
    lab.operator("POST", "/clients/PC01/approve", {})
    assert client.register().token
    away(lab)
    for history in (False, True):
        lab.operator("POST", f"/machines/{client.id}/remove")
        lab.restart()
        client = FakeClient(lab, 1).register()
        assert client.token == ""
        assert machine(lab, client.id)["name"] == ""
        lab.operator("POST", f"/clients/{client.id}/approve", {})
        client.register()
        if not history:
            cast_to(lab, client)
        away(lab)
