"""Many clients at once: a few are served at a time, people without waiting, and all see one state."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from castserver.accounts.roles import Caller, Role
from castserver.api import operatorroutes, turns
from castserver.api.livestate import FRESH, LiveState
from castserver.api.turns import AT_ONCE, Turns, waits
from castserver.api.views import StateView
from castserver.casts.policy import REPORT_SECONDS, REPORTS_A_SECOND, pace
from castserver.signal import Signal
from starlette.types import Message, Receive, Scope, Send

from tests.support.serverlab import FakeClock, ServerLab

REPORT = ("POST", "/api/v1/clients/m1/report")
STATE = ("GET", "/api/v1/state")


MOST = 100


async def whole() -> Message:
    return {"type": "http.request", "body": b"{}", "more_body": False}


async def never(_message: Message | None = None) -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def asked(method: str, path: str) -> Scope:
    return {"type": "http", "method": method, "path": path}


@pytest.mark.parametrize(
    ("method", "path", "short"),
    [
        (*REPORT, True),
        ("POST", "/api/v1/clients", True),
        ("GET", "/api/v1/casts/c1/index", True),
        ("POST", "/api/v1/casts/c1/join", True),
        (*STATE, False),
        ("GET", "/api/v1/clients", False),
        ("GET", "/api/v1/clients/m1/orders", False),
        ("GET", "/api/v1/clients/m1/log", False),
        ("GET", "/api/v1/casts/c1/chunks/7", False),
        ("POST", "/api/v1/casts/c1/cancel", False),
        ("POST", "/api/v1/uploads/u1/chunks", False),
        ("GET", "/live", False),
    ],
)
def test_short_calls_of_clients_wait(method: str, path: str, short: bool) -> None:
    assert waits(asked(method, path)) is short
    assert not waits({"type": "lifespan"})


def test_a_crowd_of_clients_does_not_hold_up_a_person() -> None:
    inside: list[str] = []
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        inside.append(scope["path"])
        if scope["path"] == REPORT[1]:
            await gate.wait()

    async def story() -> None:
        turns, nothing = Turns(app, MOST), cast(Any, None)
        crowd = [asyncio.create_task(turns(asked(*REPORT), whole, nothing)) for _ in range(50)]
        await asyncio.sleep(0.05)
        crowd[-1].cancel()  # one that gives up while it waits takes no turn with it
        await turns(asked(*STATE), nothing, nothing)
        assert inside.count(REPORT[1]) == AT_ONCE
        assert inside[-1] == STATE[1]
        gate.set()
        await asyncio.gather(*crowd, return_exceptions=True)
        assert inside.count(REPORT[1]) == 49

    asyncio.run(asyncio.wait_for(story(), 10))


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole request, then says how large its body is."""
    size = 0
    while True:
        message = await receive()
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "size": size, "path": scope["path"]})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("slow", ["its request", "its answer"])
def test_clients_that_were_switched_off_hold_up_no_other(slow: str) -> None:
    async def story() -> None:
        served, answers = Turns(answering, MOST), list[Message]()

        async def send(message: Message) -> None:
            answers.append(message)

        receive, sent = (never, send) if slow == "its request" else (whole, cast(Send, never))
        crowd = [asyncio.create_task(served(asked(*REPORT), receive, sent)) for _ in range(AT_ONCE)]
        await asyncio.sleep(0.05)
        await served(asked(*REPORT), whole, send)
        assert answers[0]["size"] == 2
        for one in crowd:
            one.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)

    asyncio.run(asyncio.wait_for(story(), 10))


def test_a_request_that_does_not_come_whole_is_answered_and_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "REQUEST_SECONDS", 0.05)
    answers: list[Message] = []

    async def send(message: Message) -> None:
        answers.append(message)

    asyncio.run(asyncio.wait_for(Turns(answering, MOST)(asked(*REPORT), never, send), 10))
    assert answers[0]["status"] == 408
    assert (b"connection", b"close") in answers[0]["headers"]


def test_a_request_goes_on_to_the_server_as_it_came() -> None:
    bodies = [b"a" * 30] * 5

    async def story(*, gone: bool) -> list[Message]:
        answers, left = list[Message](), list(bodies)

        async def receive() -> Message:
            if gone and len(left) == 3:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": left.pop(), "more_body": bool(left)}

        async def send(message: Message) -> None:
            answers.append(message)

        await Turns(answering, MOST)(asked(*REPORT), receive, send)
        return answers

    # More than MOST is read on by who refuses it.
    assert asyncio.run(story(gone=False))[0]["size"] == 150
    assert asyncio.run(story(gone=True)) == []


def test_a_state_is_built_once_for_all_who_listen_and_no_change_is_lost() -> None:
    changed, clock, built = Signal(), FakeClock(), [0]

    def build() -> StateView:
        built[0] += 1
        return StateView.model_construct(clients=[], casts=[])

    live = LiveState(build, changed, clock)
    changed.fire()
    first, count = live.latest()
    assert [live.latest() for _ in range(5)] == [(first, 1)] * 5
    assert (built[0], count) == (1, 1)
    changed.fire()
    assert live.latest()[1] == 1 < changed.count, "who heard this waits no moment for the next"
    clock.now += FRESH
    assert live.latest()[1] == 2
    assert built[0] == 2


def test_a_state_that_is_not_built_anew_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = ServerLab()
    monkeypatch.setattr(operatorroutes, "PAUSE", 0.001)
    monkeypatch.setattr(lab.parts.auth, "holds", lambda *_: True)
    told = iter([("first", 0), ("first", 0), ("first", 0), ("second", 1), ("third", 2)])
    lab.parts.__dict__["live"] = SimpleNamespace(latest=lambda: next(told))
    for _ in range(3):
        lab.clients.changed.fire()

    async def story() -> list[str]:
        stream = operatorroutes._events(lab.parts, Caller("script", Role.VIEWER), "")
        return [(await anext(stream)).split()[-1] for _ in range(3)]

    assert asyncio.run(asyncio.wait_for(story(), 10)) == ["first", "second", "third"]


def test_reports_of_a_large_room_come_less_often() -> None:
    assert pace(0) == pace(REPORTS_A_SECOND) == REPORT_SECONDS
    assert pace(500) * REPORTS_A_SECOND == 500
