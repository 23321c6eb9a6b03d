from __future__ import annotations

import asyncio
import html
import json
import re
from typing import Any

import pytest
from castcore.boot import BootEvent, BootStage
from castserver.accounts.roles import Caller, Role
from castserver.api import operatorroutes
from castserver.api.app import MOST_BODY
from castserver.logs import logroutes
from castserver.machines.clients import LONGEST_LINE, MOST_LOG_LINES
from castserver.netboot import bootroutes, storyroutes
from castserver.signal import Signal
from starlette.routing import Route

from tests.support.serverlab import CHUNKS, OPERATOR, ROOT, TOKEN, FakeClient, ServerLab, registration

OPERATORS_CALLS = [
    (method, route.path)
    for part in (operatorroutes.routes, bootroutes.routes, storyroutes.routes, logroutes.operators)
    for route in part.routes
    if isinstance(route, Route)
    for method in sorted(route.methods or ())
]


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def test_the_list_of_operators_calls_is_not_empty() -> None:
    assert len(OPERATORS_CALLS) >= 13


@pytest.mark.parametrize(("method", "path"), OPERATORS_CALLS)
def test_only_the_operator_operates(lab: ServerLab, method: str, path: str) -> None:
    client = FakeClient(lab, 1).register()
    url = path.format(client=client.id, cast="c1", interface="eth1", mac="52:54:00:00:00:01")
    for headers in ({}, client.headers, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
        answer = lab.http.request(method, url, headers=headers, json={})
        assert answer.status_code == 401, (headers, answer.text)
        assert answer.json()["error"] == "only the operator may do this"


def test_a_clients_calls_take_its_own_token_only(lab: ServerLab) -> None:
    mine, other = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    for headers in ({}, other.headers, OPERATOR):
        orders = lab.http.get(f"/api/v1/clients/{mine.id}/orders", headers=headers)
        report = lab.http.post(
            f"/api/v1/clients/{mine.id}/report", json={"state": "ready"}, headers=headers
        )
        assert (orders.status_code, report.status_code) == (401, 401)
    old = dict(mine.headers)
    mine.register()
    assert lab.http.get(f"/api/v1/clients/{mine.id}/orders", headers=old).status_code == 401


def test_taking_part_in_a_cast_takes_a_clients_token(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    cast = lab.operator("POST", "/casts", {"image": "lab"})["cast"]
    for path in ("descriptor", "manifest", "index", "chunks/0", "symbols/0/0"):
        assert lab.http.get(f"/api/v1/casts/{cast}/{path}").status_code == 401
        assert client.get(f"/casts/{cast}/{path}").status_code == 200
        assert client.get(f"/casts/nosuch/{path}").status_code == 404
    assert client.get(f"/casts/{cast}/descriptor").content == b"descriptor 0"
    assert client.get(f"/casts/{cast}/manifest").content == b"manifest of lab"
    assert [client.get(f"/casts/{cast}/chunks/{n}").content for n in range(len(CHUNKS))] == CHUNKS
    assert client.get(f"/casts/{cast}/chunks/{len(CHUNKS)}").status_code == 404
    assert client.get(f"/casts/{cast}/chunks/-1").status_code == 422
    assert client.get(f"/casts/{cast}/symbols/2/7").content == b"digests of 7 of 2"
    assert client.get(f"/casts/{cast}/symbols/0/-1").status_code == 422
    lab.senders[0].crowded = True
    assert client.get(f"/casts/{cast}/chunks/0").status_code == 503


GOOD = registration(7).to_json()
BAD_REGISTRATIONS: list[Any] = [
    None,
    [],
    "text",
    7,
    {},
    {**GOOD, "machine": None},
    {**GOOD, "machine": {**GOOD["machine"], "uuid": ["a"]}},
    {**GOOD, "machine": {**GOOD["machine"], "memory": "much"}},
    {**GOOD, "nics": [{"name": "eth0"}]},
    {**GOOD, "nics": {"eth0": 1}},
    {**GOOD, "disks": [{**GOOD["disks"][0], "size": None}]},
    {**GOOD, "disks": [{**GOOD["disks"][0], "layout": {"size": 1}}]},
    {**GOOD, "version": {"a": 1}},
    {**GOOD, "version": "\ud800"},
]


@pytest.mark.parametrize("body", BAD_REGISTRATIONS)
def test_a_malformed_registration_is_refused_and_leaves_nothing(lab: ServerLab, body: Any) -> None:
    headers = {"Content-Type": "application/json"}
    answer = lab.http.post("/api/v1/clients", content=json.dumps(body).encode(), headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]
    assert lab.clients.all() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"state": "ready", "done": 1e999}',
        b'{"state": NaN}',
        b'{"state": "ready", "message": "\\ud800"}',
        b'{"state": "ready", "done": -1}',
        b'{"state": "ready", "done": ' + b"9" * 5000 + b"}",
        b'{"state": "dancing"}',
    ],
)
def test_a_malformed_report_is_refused(lab: ServerLab, body: bytes) -> None:
    client = FakeClient(lab, 1).register()
    headers = {**client.headers, "Content-Type": "application/json"}
    answer = lab.http.post(f"/api/v1/clients/{client.id}/report", content=body, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text
    assert lab.operator("GET", f"/clients/{client.id}")["report"] is None


def test_text_from_a_client_never_becomes_markup(lab: ServerLab) -> None:
    client = FakeClient(lab, 1, product="<script>alert(1)</script>").register()
    client.report("ready", message="<img src=x>")
    lab.log_in()
    page = lab.http.get("/").text
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"image": 7},
        {"image": "lab", "start_clients": 0},
        {"image": "lab", "start_clients": 10**9},
        {"image": "lab", "after": "explode"},
        {"image": "lab", "clients": "m1"},
        {"image": "lab", "unknown": 1},
    ],
)
def test_a_malformed_cast_is_refused(lab: ServerLab, body: Any) -> None:
    assert lab.http.post("/api/v1/casts", json=body, headers=OPERATOR).status_code == 422
    assert lab.casts.all() == []


def test_a_cast_of_what_does_not_exist_is_refused(lab: ServerLab) -> None:
    for body in ({"image": "nosuch"}, {"image": "lab", "clients": ["m404"]}):
        answer = lab.http.post("/api/v1/casts", json=body, headers=OPERATOR)
        assert answer.status_code == 404
        assert "there is no" in answer.json()["error"]
    assert lab.casts.all() == []


def test_a_request_over_the_bound_is_refused(lab: ServerLab) -> None:
    answer = lab.http.post("/api/v1/clients", content=b" " * (MOST_BODY + 1))
    assert answer.status_code == 413


def test_the_overview_shows_machines_casts_and_boots(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := lab.operator("POST", "/casts", {"image": "lab"})["cast"])
    client.report("receiving", cast=cast, done=30, total=120, multicast=30)
    lab.boots.note(BootEvent("52:54:00:aa:00:01", BootStage.TFTP, "grubx64.efi"))
    lab.log_in()
    page = lab.http.get("/").text
    assert re.search(f'data-do="start" data-cast="{cast}"', page)
    assert re.search(r'<progress [^>]*max="100" value="25" aria-label="receiving, 52:54', page)
    assert "52:54:00:aa:00:01" in page


def test_no_page_names_another_host(lab: ServerLab) -> None:
    lab.log_in()
    for path in ("/", "/login", "/docs", "/static/style.css", "/static/console.js", "/static/live.js"):
        answer = lab.http.get(path)
        assert answer.status_code == 200
        assert not re.search(r"(src|href|url|import|fetch)\W{1,3}(https?:)?//", answer.text), path
    assert "default-src 'self'" in lab.http.get("/").headers["content-security-policy"]


def test_every_call_stands_in_the_documentation(lab: ServerLab) -> None:
    document = lab.http.get("/openapi.json").json()
    page = html.unescape(lab.http.get("/docs").text)
    for path, item in document["paths"].items():
        assert path in page
        for operation in item.values():
            assert operation["summary"]
            assert operation["summary"] in page
    assert "Registration" in document["components"]["schemas"]


def test_an_order_is_refused_to_a_machine_that_is_busy_or_away(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    path = f"/api/v1/clients/{client.id}/order"
    cast = lab.operator("POST", "/casts", {"image": "lab", "start_clients": 1})["cast"]
    busy = lab.http.post(path, json={"kind": "reboot"}, headers=OPERATOR)
    assert busy.status_code == 403
    assert cast in busy.json()["error"]
    assert lab.http.post(path, json={"kind": "cast"}, headers=OPERATOR).status_code == 422
    client.join(cast)
    client.report("done", cast=cast, root=ROOT)
    assert lab.http.post(path, json={"kind": "reboot"}, headers=OPERATOR).is_success
    assert [o["kind"] for o in client.orders()][-1] == "reboot"
    lab.clock.now += 100
    assert lab.http.post(path, json={"kind": "reboot"}, headers=OPERATOR).status_code == 403


def test_logs_are_kept_apart_and_bounded(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.report("failed", logs=[f"line {n} " + "x" * 1000 for n in range(MOST_LOG_LINES + 3)])
    client.report("ready")
    lines = lab.operator("GET", f"/clients/{client.id}/logs")
    assert len(lines) == MOST_LOG_LINES
    assert lines[0].startswith("line 3 ")
    assert max(map(len, lines)) == LONGEST_LINE
    assert "line 3" not in json.dumps(lab.operator("GET", "/state"))


def test_devices_of_a_machine_are_told_for_it_alone(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    (device,) = lab.operator("GET", f"/clients/{client.id}/devices")
    assert (device["address"], device["driver"]) == ("0000:00:1f.6", "e1000e")
    assert device["modalias"] not in json.dumps(lab.operator("GET", "/state"))


def test_invented_machines_are_bounded(lab: ServerLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("castserver.machines.clients.MOST_MACHINES", 2)
    for number in (1, 2):
        FakeClient(lab, number).register()
    assert FakeClient(lab, 3).ask_in().status_code == 403
    FakeClient(lab, 2).register()
    assert len(lab.clients.all()) == 2


def test_the_event_stream_sends_the_state_at_once_and_on_change(lab: ServerLab) -> None:
    async def two_events() -> list[dict[str, Any]]:
        stream = operatorroutes._events(lab.parts, Caller("script", Role.VIEWER), TOKEN)
        first = await anext(stream)
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await asyncio.to_thread(FakeClient(lab, 1).register)
        events = [first, await following]
        lab.parts.stopping.set()
        lab.parts.wake()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        return [json.loads(e.removeprefix("event: state\ndata: ")) for e in events]

    before, after = asyncio.run(two_events())
    assert before["clients"] == []
    assert [c["state"] for c in after["clients"]] == ["ready"]


def test_a_signal_wakes_who_waits_and_is_never_missed() -> None:
    async def story() -> list[bool]:
        signal = Signal()
        seen = signal.count
        waiting = [asyncio.ensure_future(signal.wait(seen, 5)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.to_thread(signal.fire)
        woken = await asyncio.gather(*waiting)
        return [*woken, await signal.wait(seen, 5), await signal.wait(signal.count, 0.01)]

    assert asyncio.run(story()) == [True, True, True, True, False]
