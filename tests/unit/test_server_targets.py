"""Casts to machines by name, group and tag, and what the deploy-target list says of them after."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.serverlab import OPERATOR, ROOT, FakeClient, ServerLab


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def refused(lab: ServerLab, method: str, path: str, body: Any = None, status: int = 403) -> str:
    answer = lab.http.request(method, f"/api/v1{path}", json=body, headers=OPERATOR)
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"])


def cast_to(lab: ServerLab, client: FakeClient) -> str:
    body = {"image": "lab", "start_clients": 1, "clients": [client.id]}
    cast: str = lab.operator("POST", "/casts", body)["cast"]
    assert client.join(cast).status_code == 200
    client.report("done", cast=cast, root=ROOT, written=7, seconds=3)
    return cast


# -- targets --------------------------------------------------------------------------------------


def room(lab: ServerLab) -> dict[str, str]:
    """PC01 and PC02 in ROOM1, PC03 in ROOM2; PC02 and PC03 with the tag ssd."""
    ids = {}
    for n, group, tags in ((1, "ROOM1", []), (2, "ROOM1", ["ssd"]), (3, "ROOM2", ["ssd"])):
        client = FakeClient(lab, n).register()
        body = {"name": f"PC0{n}", "groups": [group], "tags": tags}
        lab.operator("PUT", f"/machines/{client.id}", body)
        ids[f"PC0{n}"] = client.id
    return ids


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({"groups": ["room1"]}, "PC01 PC02"),
        ({"groups": ["ROOM1", "ROOM2"]}, "PC01 PC02 PC03"),
        ({"tags": ["SSD"]}, "PC02 PC03"),
        ({"groups": ["ROOM1"], "tags": ["ssd"]}, "PC02"),
        ({"clients": ["PC01"], "groups": ["ROOM2"]}, "PC01 PC03"),
        ({"clients": ["52:54:00:00:00:01", "pc01"]}, "PC01"),
    ],
)
def test_a_cast_goes_to_who_is_meant(lab: ServerLab, asked: Any, meant: str) -> None:
    ids = room(lab)
    cast = lab.operator("POST", "/casts", {"image": "lab", **asked})
    assert cast["targets"] == sorted(ids[name] for name in meant.split())
    assert {p["client"] for p in cast["parts"]} == set(cast["targets"])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"groups": ["ROOM9"]}, "no machine is in group 'ROOM9'"),
        ({"groups": ["ROOM1"], "tags": ["hdd"]}, "no machine has the tag 'hdd'"),
        ({"clients": ["PC04"]}, "there is no machine 'PC04'"),
        ({"groups": ["ROOM1"], "clients": ["PC04"]}, "there is no machine 'PC04'"),
    ],
)
def test_a_target_that_is_none_makes_no_cast(lab: ServerLab, asked: Any, said: str) -> None:
    room(lab)
    assert said in refused(lab, "POST", "/casts", {"image": "lab", **asked}, 404)
    assert lab.operator("GET", "/casts") == []


def test_a_group_without_the_tag_makes_no_cast(lab: ServerLab) -> None:
    room(lab)
    lab.operator("PUT", "/machines/PC02", {"tags": []})
    body = {"image": "lab", "groups": ["ROOM1"], "tags": ["ssd"]}
    assert "no machine of ROOM1" in refused(lab, "POST", "/casts", body, 404)


# -- history --------------------------------------------------------------------------------------


def test_the_deploy_target_list_says_what_was_proved_and_what_was_tried_since(lab: ServerLab) -> None:
    client, other = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    first = cast_to(lab, client)
    client.register()
    body = {"image": "office", "start_clients": 1, "clients": [client.id]}
    second = lab.operator("POST", "/casts", body)["cast"]
    client.join(second)
    client.report("receiving", cast=second, done=5, total=100)
    client.report("failed", cast=second, message="its disk broke")
    rows = {row["client"]: row for row in lab.operator("GET", "/machines/deployed")}
    assert rows[other.id]["proven"] is None
    assert rows[other.id]["last"] is None
    proven, last = rows[client.id]["proven"], rows[client.id]["last"]
    assert (proven["cast"], proven["image"], proven["root"]) == (first, "lab", ROOT)
    assert (proven["written"], proven["seconds"]) == (7, 3)
    assert (last["cast"], last["state"], last["root"]) == (second, "failed", "")
    history = lab.operator("GET", f"/machines/{client.id}/history")
    assert {w["cast"] for w in history} == {first, second}
