"""Of many machines those are drawn and sent that show something new."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from castcore.cast.states import ClientClass
from castcore.control import ClientState, Report
from castserver.accounts.roles import Caller, Role
from castserver.api.board import Versions
from castserver.console import livepages
from castserver.console.languages import Language
from castserver.console.livepages import _drawing
from castserver.console.roomboard import MOST_HELP
from castserver.console.show import MOST_TROUBLE

from tests.support.serverlab import ServerLab
from tests.support.watchedcast import casting, crowd, gathered, receives, seen


@pytest.fixture
def lab() -> ServerLab:
    lab = ServerLab()
    lab.log_in()
    return lab


@pytest.mark.parametrize("page", ["overview", "room"])
def test_of_five_hundred_machines_those_are_drawn_and_sent_that_show_something_new(
    lab: ServerLab, page: str
) -> None:
    cast, clients = crowd(lab, 500)
    draw = _drawing(lab.parts, cast if page == "room" else "", Language.EN)
    before = draw()
    rows = {name for name in before.blocks if name.startswith(("tile-", "row-"))}
    assert len(rows) == 500
    # All gain a little, less than a percent; one gains a lot.
    for client in clients:
        receives(lab, cast, client, 40.3)
    receives(lab, cast, clients[7], 90)
    versions = Versions()
    versions.take(before)
    mark, after = versions.mark, draw()
    versions.take(after)
    told = json.loads(versions.since(mark))
    assert told["lists"] == {}
    assert rows & set(told["blocks"]) == {name for name in rows if name.endswith(clients[7])}
    # The others were not even rendered.
    assert sum(after.blocks[name] is before.blocks[name] for name in rows) == 499
    assert len(versions.since(mark)) < 8_000


def test_much_trouble_fills_no_page(lab: ServerLab) -> None:
    cast, _ = crowd(lab, MOST_HELP + 5, kind=ClientClass.DISK_SLOW)
    page = lab.http.get(f"/casts/{cast}").text
    assert len(re.findall('<li id="help-', page)) == MOST_HELP
    assert "and 5 more" in page
    assert len(re.findall('<span class="badge warn">slow disk', lab.http.get("/").text)) == MOST_TROUBLE


ANNA = Caller("anna", Role.OPERATOR)

# -- the stream


def test_the_stream_tells_what_changed_since_the_page_was_loaded(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(livepages, "PAUSE", 0.0)
    cast, clients = gathered(lab, 2)
    page = lab.http.get(f"/casts/{cast}").text
    found = re.search(r'data-mark="([0-9a-f]{8}\.\d+)"', page)
    assert found is not None
    board = lab.parts.boards.at(("en", cast), _drawing(lab.parts, cast, Language.EN))
    ended = False

    async def scene() -> None:
        nonlocal ended
        stream = livepages._events(lab.parts, ANNA, board, found[1], lambda: ended)
        casting(lab, cast, *(seen(one) for one in clients))
        lab.casts.get(cast).parts[clients[0].id].report = Report(ClientState.RECEIVING, cast, "", 1, 2)
        told = event(await anext(stream))
        assert f"tile-{clients[0].id}" in told["blocks"]
        assert f"tile-{clients[1].id}" not in told["blocks"]
        assert lab.parts.auth.sessions.away() == 0.0
        lab.casts.get(cast).parts[clients[1].id].report = Report(ClientState.RECEIVING, cast, "", 1, 4)
        lab.clients.changed.fire()
        told = event(await anext(stream))
        assert f"tile-{clients[0].id}" not in told["blocks"]
        assert f"tile-{clients[1].id}" in told["blocks"]
        ended = True
        assert [sign async for sign in stream] in ([], [": still here\n\n"])

    asyncio.run(scene())


def event(text: str) -> dict[str, Any]:
    """The data of an event, which names its mark."""
    lines = dict(line.split(": ", 1) for line in text.strip().splitlines())
    told: dict[str, Any] = json.loads(lines["data"])
    assert (lines["event"], lines["id"]) == ("board", told["mark"])
    return told
