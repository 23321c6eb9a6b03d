"""The head-up display: what it shows of a server, and what its keys do, in a terminal of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from castcore.errors import NetworkFailed
from castserver.api.views import StateView
from castserver.hud import figures
from castserver.hud.app import Hud
from castserver.hud.dialogues import Choice, Question
from castserver.hud.server import ApiServer
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from tests.support.serverlab import FakeClient, ServerLab

Pilots = Pilot[None]


class LabOperator:
    """The API of a :class:`ServerLab`, as `castserver.cli.operatorclient.Operator` calls it."""

    def __init__(self, lab: ServerLab) -> None:
        self.lab = lab
        self.down = False

    def get(self, *path: str, query: Mapping[str, object] | None = None) -> Any:
        if self.down:
            raise NetworkFailed("the server does not answer", hint="start it")
        if path == ("images",):  # those of the lab are but names
            return [{"image": "lab", "problem": "damaged"}, {"image": "office", "problem": ""}]
        asked = f"?{urlencode(query)}" if query else ""
        return self.lab.operator("GET", "/" + "/".join(path) + asked)

    def post(self, *path: str, body: Any = None) -> Any:
        return self.lab.operator("POST", "/" + "/".join(path), body)

    def put(self, *path: str, body: Any = None) -> Any:
        return self.lab.operator("PUT", "/" + "/".join(path), body)


@pytest.fixture
def lab() -> Iterator[ServerLab]:
    lab = ServerLab()
    yield lab
    lab.uploads.close()


def state_of(lab: ServerLab) -> StateView:
    return ApiServer(LabOperator(lab)).state()  # type: ignore[arg-type]


def in_terminal(lab: ServerLab, act: Callable[[Hud, Pilots, LabOperator], Awaitable[None]]) -> None:
    """Run the display in a terminal of 100 by 30 while ``act`` presses its keys."""

    async def shown() -> None:
        operator = LabOperator(lab)
        app = Hud(ApiServer(operator))  # type: ignore[arg-type]
        async with app.run_test(size=(100, 30)) as pilot:
            await settled(app, pilot)
            await act(app, pilot, operator)

    asyncio.run(shown())


async def settled(app: Hud, pilot: Pilots) -> None:
    """Wait until what was asked of the server is on the screen."""
    await app.workers.wait_for_complete()
    await pilot.pause()


async def looked(app: Hud, pilot: Pilots) -> None:
    app.look()
    await settled(app, pilot)


def cells(app: Hud, name: str) -> list[list[str]]:
    table = app.query_one(name, DataTable)
    return [[str(cell) for cell in table.get_row(key)] for key in table.rows]


def text(app: Hud, name: str) -> str:
    return str(app.query_one(name, Static).render())


def joined(lab: ServerLab, count: int = 2) -> tuple[str, list[FakeClient]]:
    """A cast that ``count`` machines have joined."""
    clients = [FakeClient(lab, number).register() for number in range(1, count + 1)]
    cast: str = lab.operator("POST", "/casts", {"image": "office"})["cast"]
    for client in clients:
        assert client.join(cast).is_success
    return cast, clients


def test_the_state_passes_through_the_api_unchanged(lab: ServerLab) -> None:
    cast, clients = joined(lab)
    lab.operator("POST", f"/casts/{cast}/start")
    clients[0].report("receiving", cast=cast, done=50, total=200)
    shown = lab.operator("GET", "/state")
    assert state_of(lab).model_dump(mode="json", by_alias=True) == shown


def test_the_head_says_how_far_the_server_is(lab: ServerLab) -> None:
    first, medium, pxe, machines = figures.head(state_of(lab), 0)
    assert (first.split()[1:], medium.split()[1:]) == (["no", "medium"], ["no", "medium"])
    assert pxe.startswith("PXE")
    assert "0 here" in machines
    cast, _ = joined(lab)
    assert "clients connected" in figures.head(state_of(lab), 0)[0]
    lab.operator("POST", f"/casts/{cast}/start")
    state, _, _, machines = figures.head(state_of(lab), 0)
    assert "casting" in state
    assert "2 here" in machines


@pytest.mark.parametrize(
    ("share", "drawn"), [(0, "·" * 12 + "   0%"), (50, "█" * 6 + "·" * 6 + "  50%")]
)
def test_a_bar_is_as_long_as_its_share(share: int, drawn: str) -> None:
    assert figures.bar(share) == drawn


def test_who_needs_somebody_comes_first(lab: ServerLab) -> None:
    cast, clients = joined(lab, 3)
    lab.operator("POST", f"/casts/{cast}/start")
    clients[1].report("receiving", cast=cast, done=50, total=200)
    clients[2].report("failed", cast=cast, message="/dev/sda: write error")
    rows = figures.part_rows(state_of(lab).casts[0])
    assert [name for name, _ in rows] == [clients[2].id, clients[1].id, clients[0].id]
    assert "/dev/sda: write error" in rows[0][1]
    assert "███·········  25%" in rows[1][1]


def test_a_cast_starts_only_when_its_question_was_answered_with_yes(lab: ServerLab) -> None:
    cast, _ = joined(lab)

    async def act(app: Hud, pilot: Pilots, _operator: LabOperator) -> None:
        await pilot.press("s")
        assert isinstance(app.screen, Question)
        assert "the disks of 2 machines" in app.screen._sentence
        await pilot.press("enter")  # the button that has the focus is No
        await settled(app, pilot)
        assert lab.casts.get(cast).state.value == "gathering"
        await pilot.press("s", "y")
        await settled(app, pilot)
        assert lab.casts.get(cast).state.value == "running"
        assert f"Cast {cast} has started." in text(app, "#said")
        await looked(app, pilot)
        assert cells(app, "#casts")[0][2] == "running"

    in_terminal(lab, act)


def test_a_cast_is_made_of_an_image_that_is_chosen_and_cancelled(lab: ServerLab) -> None:
    async def act(app: Hud, pilot: Pilots, _operator: LabOperator) -> None:
        await pilot.press("n")
        await settled(app, pilot)
        assert isinstance(app.screen, Choice)
        assert app.screen._names == ["office"]
        await pilot.press("enter")
        await settled(app, pilot)
        await looked(app, pilot)
        assert cells(app, "#casts")[0][1:3] == ["office", "gathering"]
        await pilot.press("c", "y")
        await settled(app, pilot)
        await looked(app, pilot)
        assert cells(app, "#casts")[0][2] == "cancelled"

    in_terminal(lab, act)


def test_a_server_that_is_away_is_told_and_what_was_seen_stays(lab: ServerLab) -> None:
    joined(lab)

    async def act(app: Hud, pilot: Pilots, operator: LabOperator) -> None:
        operator.down = True
        await looked(app, pilot)
        assert "does not answer" in text(app, "#said")
        assert len(cells(app, "#casts")) == 1
        operator.down = False
        await looked(app, pilot)
        assert text(app, "#said") == ""

    in_terminal(lab, act)


def test_the_machines_below_are_those_of_the_cast_or_all(lab: ServerLab) -> None:
    joined(lab)
    FakeClient(lab, 9).register()

    async def act(app: Hud, pilot: Pilots, _operator: LabOperator) -> None:
        assert len(cells(app, "#machines")) == 3  # the third was ordered in, too
        await pilot.press("a")
        await pilot.pause()
        assert [row[1] for row in cells(app, "#machines")] == ["ready"] * 3
        await pilot.press("a")
        await pilot.pause()
        assert {row[1] for row in cells(app, "#machines")} == {"joined", "awaited"}

    in_terminal(lab, act)


def test_what_machines_and_images_are_called_is_text_and_no_markup(lab: ServerLab) -> None:
    cast, clients = joined(lab, 1)
    FakeClient(lab, 7, product="Desk [/x] [@click=app.quit]7").register()
    lab.operator("POST", f"/casts/{cast}/start")
    clients[0].report("failed", cast=cast, message="bad [/dev/sda] here")

    async def act(app: Hud, pilot: Pilots, operator: LabOperator) -> None:
        await looked(app, pilot)
        assert any("bad [/dev/sda] here" in row for row in cells(app, "#machines"))
        await pilot.press("a")
        await pilot.pause()
        assert any("[@click=app.quit]7" in row[0] for row in cells(app, "#machines"))
        app._say("no [/such] image")
        assert text(app, "#said") == "no [/such] image"

    in_terminal(lab, act)
