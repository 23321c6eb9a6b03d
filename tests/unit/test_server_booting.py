"""PXE deploy and the choice for each interface: by API, over restarts, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from castcore.boot import InterfaceMode, WantedMode
from castcore.edge.cast.discovery import FoundServer
from castcore.edge.net.interface import Interface
from castcore.edge.net.nics import LinkState
from castserver.accounts.roles import Caller, Role
from castserver.accounts.sessions import IDLE_SECONDS
from castserver.api import operatorroutes
from castserver.netboot.booting import CLOSED_SECONDS, Booting
from castserver.netboot.bootkeeper import BootKeeper, World
from castserver.netboot.bootstate import Choice, DeployEnd, Neighbour
from castserver.netboot.neighbours import Neighbours

from tests.support.keepernetwork import Network
from tests.support.serverlab import OPERATOR, ROOT, FakeClient, ServerLab

ON, OFF = {"deploy": True}, {"deploy": False}


class Served:
    def start(self) -> None: ...

    def change(self, mode: InterfaceMode) -> None: ...

    def refresh(self) -> None: ...

    def stop(self) -> None: ...


@pytest.fixture
def lab() -> Iterator[ServerLab]:
    made = ServerLab()
    begin(made)
    yield made
    made.booting.stop()


def begin(lab: ServerLab) -> None:
    """Booting on eth1, whose network has nobody else."""
    network = Network()
    world = World(
        network.open,
        lambda *_: LinkState.UP,
        lambda _: "",
        clock=lambda: network.now,
        holder=lambda *_: "",
    )
    keeper = BootKeeper(
        Interface("eth1", 7, "10.0.0.1", 1000),
        lab.booting.chosen("eth1"),
        lambda _: Served(),
        lab.booting.setting,
        lambda _: None,
        world,
    )
    lab.booting.start({"eth1": keeper})


def running_cast(lab: ServerLab) -> tuple[str, FakeClient]:
    client = FakeClient(lab, 1).register()
    client.report("ready")
    cast = lab.operator("POST", "/casts", {"image": "lab"})["cast"]
    client.orders()
    assert client.join(cast).is_success
    lab.operator("POST", f"/casts/{cast}/start")
    return cast, client


def test_deploy_is_switched_and_shown(lab: ServerLab) -> None:
    shown = lab.operator("GET", "/booting")
    assert (shown["deploy"], shown["ends"]) == (True, ["cast-end", "medium-removed"])
    assert [(own["interface"], own["wanted"]) for own in shown["interfaces"]] == [("eth1", "auto")]
    shown = lab.operator("PUT", "/booting", OFF)
    assert (shown["deploy"], shown["why"]) == (False, "the operator turned it off")
    assert not lab.booting.setting().deploy
    assert lab.operator("GET", "/state")["pxe"]["deploy"] is False
    shown = lab.operator("PUT", "/booting", {"deploy": True, "ends": ["console-closed"]})
    assert (shown["deploy"], shown["why"], shown["ends"]) == (True, "", ["console-closed"])


def test_an_interface_is_chosen_for(lab: ServerLab) -> None:
    shown = lab.operator("PUT", "/booting/eth1", {"wanted": "dhcp"})["interfaces"][0]
    assert lab.booting.chosen("eth1") == Choice(WantedMode.DHCP)
    assert (shown["wanted"], shown["own_dhcp"]) == ("dhcp", False)
    assert set(shown) >= {"mode", "reason", "warning", "problem", "note", "dhcp", "servers"}
    lab.operator("PUT", "/booting/eth1", {"own_dhcp": True})
    assert lab.booting.chosen("eth1") == Choice(WantedMode.DHCP, own_dhcp=True)
    for path, body, status in (
        ("eth9", {"wanted": "auto"}, 404),
        ("eth1", {"wanted": "nonsense"}, 422),
        ("eth1", {"mode": "auto"}, 422),
    ):
        answer = lab.http.put(f"/api/v1/booting/{path}", json=body, headers=OPERATOR)
        assert answer.status_code == status


def test_what_was_chosen_outlives_a_restart(lab: ServerLab) -> None:
    lab.operator("PUT", "/booting", {"deploy": False, "ends": []})
    lab.operator("PUT", "/booting/eth1", {"wanted": "proxy", "own_dhcp": True})
    lab.booting.stop()
    lab.restart()
    assert lab.booting.chosen("eth1") == Choice(WantedMode.PROXY, own_dhcp=True)
    assert lab.booting.chosen("eth2") == Choice()
    shown = lab.operator("GET", "/booting")
    assert (shown["deploy"], shown["why"], shown["ends"]) == (False, "the operator turned it off", [])


def test_the_command_line_holds_for_its_run_alone(lab: ServerLab) -> None:
    lab.booting.assume({"eth1": Choice(WantedMode.OFF)}, frozenset(DeployEnd))
    assert lab.booting.chosen("eth1") == Choice(WantedMode.OFF)
    assert lab.operator("GET", "/booting")["ends"] == sorted(DeployEnd)
    lab.booting.stop()
    lab.restart()
    assert lab.booting.chosen("eth1") == Choice()
    assert lab.operator("GET", "/booting")["ends"] == ["cast-end", "medium-removed"]


def test_nothing_changes_while_a_cast_runs(lab: ServerLab) -> None:
    cast, client = running_cast(lab)
    for path, body in (("", OFF), ("", {"ends": []}), ("/eth1", {"wanted": "off"})):
        answer = lab.http.put(f"/api/v1/booting{path}", json=body, headers=OPERATOR)
        assert answer.status_code == 403
        assert cast in answer.json()["error"]
    assert lab.booting.setting().casting
    client.report("done", cast=cast, root=ROOT)
    lab.operator("PUT", "/booting", OFF)


def test_deploy_ends_with_the_last_cast(lab: ServerLab) -> None:
    cast, client = running_cast(lab)
    other = lab.operator("POST", "/casts", {"image": "office", "clients": []})["cast"]
    lab.booting.tick()
    client.report("done", cast=cast, root=ROOT)
    lab.booting.tick()
    assert lab.booting.setting().deploy, "another cast still gathers"
    lab.operator("POST", f"/casts/{other}/cancel")
    lab.booting.tick()
    shown = lab.operator("GET", "/booting")
    assert (shown["deploy"], shown["why"]) == (False, f"cast {cast} has ended")
    lab.operator("PUT", "/booting", ON)
    lab.booting.tick()
    assert lab.booting.setting().deploy, "that cast has had its effect"


def test_a_cast_that_never_ran_ends_nothing_and_each_end_can_be_switched_off(lab: ServerLab) -> None:
    waiting = lab.operator("POST", "/casts", {"image": "lab", "clients": []})["cast"]
    lab.operator("POST", f"/casts/{waiting}/cancel")
    lab.booting.tick()
    assert lab.booting.setting().deploy
    lab.operator("PUT", "/booting", {"ends": []})
    cast, client = running_cast(lab)
    client.report("done", cast=cast, root=ROOT)
    lab.booting.tick()
    assert lab.booting.setting().deploy
    lab.operator("PUT", "/booting", {"ends": ["cast-end"]})
    lab.booting.tick()
    assert lab.booting.setting().deploy, "only what ends from now on counts"


def test_deploy_ends_a_minute_after_the_console_was_closed(lab: ServerLab) -> None:
    lab.operator("PUT", "/booting", {"ends": ["console-closed"]})
    lab.clock.now += 1000
    lab.booting.tick()
    assert lab.booting.setting().deploy, "no console was ever open"
    lab.log_in()
    assert lab.http.get("/live").is_success
    with lab.parts.auth.sessions.watched(Role.OPERATOR):
        lab.clock.now += 1000
        lab.booting.tick()
    lab.clock.now += CLOSED_SECONDS - 1
    lab.booting.tick()
    assert lab.booting.setting().deploy
    lab.clock.now += 1
    lab.booting.tick()
    assert lab.operator("GET", "/booting")["why"] == "the console was closed"
    lab.operator("PUT", "/booting", ON)
    lab.booting.tick()
    assert lab.booting.setting().deploy, "it counts from the next console on"


def closing(lab: ServerLab) -> None:
    """A console was open and closed almost a minute ago; the next moment PXE deploy ends."""
    lab.operator("PUT", "/booting", {"ends": ["console-closed"]})
    lab.log_in()
    assert lab.http.get("/live/here").status_code == 204
    lab.clock.now += CLOSED_SECONDS - 1
    lab.booting.tick()
    assert lab.booting.setting().deploy


def still_on_in_a_moment(lab: ServerLab) -> bool:
    lab.clock.now += 1
    lab.booting.tick()
    return lab.booting.setting().deploy


@pytest.mark.parametrize("role", Role)
def test_only_who_may_act_keeps_the_console_open(lab: ServerLab, role: Role) -> None:
    closing(lab)
    lab.log_in(role)
    assert lab.http.get("/live/here").status_code == 204
    with lab.parts.auth.sessions.watched(role):
        assert still_on_in_a_moment(lab) is (role is not Role.VIEWER)


def test_an_open_page_is_no_use_of_its_session(lab: ServerLab) -> None:
    lab.log_in()
    for _ in range(int(IDLE_SECONDS // CLOSED_SECONDS)):
        lab.clock.now += CLOSED_SECONDS
        assert lab.http.get("/live/here").status_code == 204
    lab.clock.now += 1
    assert lab.http.get("/live/here").status_code == 401


@pytest.mark.parametrize(("query", "open_"), [("", False), ("?watching=true", True)])
def test_the_display_in_a_terminal_is_a_console_and_a_script_is_none(
    lab: ServerLab, query: str, open_: bool
) -> None:
    closing(lab)
    lab.operator("GET", f"/state{query}")
    assert still_on_in_a_moment(lab) is open_


def test_a_viewers_display_is_no_console(lab: ServerLab) -> None:
    closing(lab)
    _, secret = lab.parts.auth.tokens.issue("wall", Role.VIEWER, 1, "anna")
    own = {"Authorization": f"Bearer {secret}"}
    assert lab.http.get("/api/v1/state?watching=true", headers=own).is_success
    assert not still_on_in_a_moment(lab)


def test_who_listens_with_an_operators_token_is_a_console(lab: ServerLab) -> None:
    closing(lab)
    token, secret = lab.parts.auth.tokens.issue("display", Role.OPERATOR, 1, "anna")
    caller = lab.parts.auth.tokens.caller(secret)
    assert caller is not None
    heard: list[bool] = []

    async def until_its_end(caller: Caller) -> None:
        async for _ in operatorroutes._events(lab.parts, caller, secret):
            heard.append(still_on_in_a_moment(lab))
            lab.parts.auth.tokens.revoke(token.id)

    asyncio.run(asyncio.wait_for(until_its_end(caller), 10))
    assert heard == [True]


def test_a_closed_console_waits_for_the_casts_end(lab: ServerLab) -> None:
    lab.operator("PUT", "/booting", {"ends": ["console-closed"]})
    lab.log_in()
    assert lab.http.get("/live").is_success
    cast, client = running_cast(lab)
    lab.clock.now += 1000
    lab.booting.tick()
    assert lab.booting.setting().deploy
    client.report("done", cast=cast, root=ROOT)
    lab.booting.tick()
    assert not lab.booting.setting().deploy


def test_anything_may_end_deploy_and_only_once(lab: ServerLab) -> None:
    lab.booting.end_deploy("the medium was removed")
    lab.booting.end_deploy("something else")
    assert lab.operator("GET", "/booting")["why"] == "the medium was removed"


def test_somebody_at_the_server_closes_its_console() -> None:
    lab = ServerLab()
    rest = (lab.database, lab.casts, lab.parts.auth.sessions, lambda: None)
    assert Booting(*rest).state().deploy.ends == {DeployEnd.CAST_END, DeployEnd.MEDIUM_REMOVED}
    assert Booting(*rest, headless=False).state().deploy.ends == set(DeployEnd)


def test_a_server_that_boots_nothing_says_so() -> None:
    lab = ServerLab()
    assert lab.operator("GET", "/booting")["interfaces"] == []
    answer = lab.http.put("/api/v1/booting/eth1", json={"wanted": "auto"}, headers=OPERATOR)
    assert answer.status_code == 404
    assert "boot tree" in answer.json()["hint"]


def test_other_fleetcast_servers_are_told_once_and_forgotten_when_gone() -> None:
    def server(name: str, key: bytes, interface: str) -> FoundServer:
        return FoundServer(f"https://{name}:8443", key, b"", name, interface)

    there = {
        "eth1": [server("us", b"k", "eth1"), server("other", b"o", "eth1")],
        "eth2": [server("other", b"o", "eth2")],
    }
    told: list[Neighbour] = []
    watch = Neighbours(["eth1", "eth2"], b"k", told.append, lambda name: there[name])
    watch.look()
    watch.look()
    assert [(n.name, n.interface) for n in told] == [("other", "eth1"), ("other", "eth2")]
    assert list(watch.found()) == told
    there["eth1"].pop()
    watch.look()
    assert [n.interface for n in watch.found()] == ["eth2"]


def test_the_console_shows_what_is_served(lab: ServerLab) -> None:
    lab.log_in()
    page = lab.http.get("/live").text
    assert 'id="pxe-deploy">on<' in page
    assert "eth1" in page
    lab.operator("PUT", "/booting", OFF)
    page = lab.http.get("/live").text
    assert 'id="pxe-deploy">off<' in page
    assert "the operator turned it off" in page
