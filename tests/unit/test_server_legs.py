"""Casts of a server with several interfaces: who takes part by which, and what a lost one ends."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from castcore.cast.states import ClientClass, SenderState
from castcore.cast.status import CastStatus, ClientStatus, LegNow, together
from castcore.edge.net.interface import Interface
from castcore.edge.net.nics import LinkState
from castcore.errors import Busy
from castserver.casts.linkwatch import DOWN_SECONDS, LinkWatch
from castserver.casts.wayin import Network, WayIn, leg_of
from castserver.cli.casttable import cast_lines

from tests.support.fakesender import FakeSender
from tests.support.serverlab import FakeClient, ServerLab

ONE = Network("eth1", "10.0.1.1", ip_network("10.0.1.0/24"))
TWO = Network("eth2", "10.0.2.1", ip_network("10.0.2.0/24"))
SIX = Network("eth3", "fe80::3", ip_network("fe80::/64"))
ALSO_SIX = Network("eth4", "fe80::4", ip_network("fe80::/64"))
WIDE = Network("eth5", "10.9.9.9", ip_network("10.0.0.0/8"))
ALL = (ONE, TWO, SIX, ALSO_SIX, WIDE)
CLIENT = ClientStatus("pc1", ClientClass.OK, 50, 0.5, 10.0, 3, 6, 960, 30, 10, 2, done=False)


@pytest.mark.parametrize(
    ("client", "server", "network"),
    [
        ("10.0.2.7", "10.0.2.1", TWO),
        # It was told our other address, and a router or the kernel carried it there.
        ("10.0.2.7", "10.0.1.1", TWO),
        ("10.77.0.1", "10.0.1.1", WIDE),
        # Link-local addresses are of every network: our own end tells.
        ("fe80::99", "fe80::4", ALSO_SIX),
        ("fe80::99%eth3", "fe80::3", SIX),
        # From behind a router.
        ("192.0.2.1", "10.0.2.1", TWO),
        ("192.0.2.1", "192.0.2.200", ONE),
        ("testclient", "testserver", ONE),
        ("", "", ONE),
    ],
)
def test_a_client_takes_part_by_the_network_it_is_on(client: str, server: str, network: Network) -> None:
    assert ALL[leg_of(WayIn(client, server), ALL)] is network


def test_of_two_interfaces_in_one_network_the_one_that_was_asked_counts() -> None:
    twin = replace(ONE, interface="eth9", address="10.0.1.2")
    assert leg_of(WayIn("10.0.1.50", "10.0.1.1"), (ONE, twin)) == 0
    assert leg_of(WayIn("10.0.1.50", "10.0.1.2"), (ONE, twin)) == 1


class Nic:
    """An interface, and a clock, that do what a test says."""

    def __init__(self) -> None:
        self.state, self.now = LinkState.UP, 100.0

    def watch(self) -> LinkWatch:
        own = Interface("eth1", 3, "10.0.1.1", 1000)
        return LinkWatch(own, lambda _name, _address: self.state, lambda: self.now)


@pytest.mark.parametrize("state", [LinkState.DOWN, LinkState.ANOTHER])
def test_a_short_pause_of_a_link_is_no_loss_a_long_one_is(state: LinkState) -> None:
    nic = Nic()
    watch = nic.watch()
    nic.state = state
    for second in range(int(DOWN_SECONDS)):
        nic.now = 100.0 + second
        assert watch.lost() == ""
    nic.now = 100.0 + DOWN_SECONDS
    assert "eth1" in watch.lost()
    nic.state = LinkState.UP
    assert watch.lost() == ""


def test_an_interface_that_is_gone_is_lost_at_once() -> None:
    nic = Nic()
    watch = nic.watch()
    nic.state = LinkState.GONE
    assert watch.lost() == "the interface eth1 is gone"


def status(*clients: ClientStatus, **changes: Any) -> CastStatus:
    return replace(CastStatus(SenderState.PASS, 100, 1000, 10, 1, 3, clients), **changes)


def test_legs_are_one_cast_that_names_each_clients_interface() -> None:
    other = replace(CLIENT, client="pc2", eta=30.0)
    legs = [
        LegNow("eth1", status(CLIENT)),
        LegNow("eth2", status(other, state=SenderState.LAP, rate=50, head=6)),
        LegNow("eth3", None, "eth3 has no link"),
    ]
    whole = together(legs)
    assert whole is not None
    assert (whole.state, whole.rate, whole.sent, whole.eta) == (SenderState.PASS, 150, 2000, 30.0)
    assert [(c.client, c.interface) for c in whole.clients] == [("pc1", "eth1"), ("pc2", "eth2")]
    assert [(leg.interface, leg.clients, leg.lost) for leg in whole.legs] == [
        ("eth1", 1, ""),
        ("eth2", 1, ""),
        ("eth3", 0, "eth3 has no link"),
    ]
    assert json.loads(json.dumps(whole.to_json()))["legs"][1]["rate"] == 50
    lines = cast_lines(whole, 24)
    assert any("eth3" in line and "LOST, eth3 has no link" in line for line in lines)
    assert any(line.split()[0] == "pc2" and line.endswith("eth2") for line in lines)


def test_a_client_that_came_back_on_another_leg_counts_there() -> None:
    gone = replace(CLIENT, kind=ClientClass.GONE)
    lost = LegNow("eth1", status(gone, state=SenderState.GATHER), "the interface eth1 is gone")
    for legs in ([lost, LegNow("eth2", status(CLIENT))], [LegNow("eth2", status(CLIENT)), lost]):
        whole = together(legs)
        assert whole is not None
        assert [(c.interface, c.kind) for c in whole.clients] == [("eth2", ClientClass.OK)]
        assert whole.state is SenderState.PASS, "the lost leg holds nothing back"
    assert together([LegNow("eth1", None, "gone")]) is None


def test_a_client_counts_where_it_joined_last_though_the_other_leg_does_not_miss_it_yet() -> None:
    here = replace(CLIENT, have=0.75)
    one = LegNow("eth1", status(CLIENT), joins={"pc1": 5.0})
    two = LegNow("eth2", status(here), joins={"pc1": 9.0})
    for legs in ([one, two], [two, one]):
        whole = together(legs)
        assert whole is not None
        assert [(c.interface, c.have) for c in whole.clients] == [("eth2", 0.75)]


def test_legs_without_clients_or_sender_do_not_tell_the_state() -> None:
    going = LegNow("eth1", status(CLIENT, state=SenderState.LAP))
    unjoined = LegNow("eth2", status(state=SenderState.GATHER))
    back = LegNow("eth3", status(replace(CLIENT, kind=ClientClass.GONE)), live=False)
    whole = together([unjoined, going, back])
    assert whole is not None
    assert whole.state is SenderState.LAP
    alone = together([unjoined])
    assert alone is not None
    assert alone.state is SenderState.GATHER


# -- a whole server


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab(networks=(ONE, TWO))


def arrive(lab: ServerLab, network: Network) -> None:
    """From now on requests come from a client on ``network``."""
    host = str(network.subnet[77])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        here = {"client": (host, 4711), "server": (network.address, 8443)}
        await inner({**scope, **here} if scope["type"] == "http" else scope, receive, send)

    inner = lab.web_app
    lab.use(app)


def shown(lab: ServerLab, cast: str) -> Any:
    return lab.operator("GET", f"/casts/{cast}")


def begin(lab: ServerLab, clients: int) -> tuple[str, list[FakeClient]]:
    cast = str(lab.operator("POST", "/casts", {"image": "lab", "start_clients": clients})["cast"])
    return cast, [FakeClient(lab, n).register() for n in range(1, clients + 1)]


def test_clients_of_all_interfaces_start_the_cast_together(lab: ServerLab) -> None:
    cast, (first, second) = begin(lab, 2)
    arrive(lab, ONE)
    first.join(cast)
    assert shown(lab, cast)["state"] == "gathering"
    arrive(lab, TWO)
    second.join(cast)
    assert shown(lab, cast)["state"] == "running"
    assert [(s.leg, s.joined, s.started) for s in lab.senders] == [
        (0, [first.id], True),
        (1, [second.id], True),
    ]
    seen = shown(lab, cast)["sender"]
    assert {c["client"]: c["interface"] for c in seen["clients"]} == {
        first.id: "eth1",
        second.id: "eth2",
    }
    assert [leg["interface"] for leg in seen["legs"]] == ["eth1", "eth2"]


def test_a_leg_that_is_joined_late_begins_then_and_one_that_nobody_joined_never(lab: ServerLab) -> None:
    cast, (first,) = begin(lab, 1)
    late = FakeClient(lab, 7).register()
    arrive(lab, TWO)
    late.get(f"/casts/{cast}/descriptor")
    arrive(lab, ONE)
    first.join(cast)
    assert [(s.leg, s.started) for s in lab.senders] == [(1, False), (0, True)]
    arrive(lab, TWO)
    late.join(cast)
    assert all(s.started for s in lab.senders)


def test_a_lost_interface_ends_its_leg_alone_and_its_clients_come_back_on_another(
    lab: ServerLab,
) -> None:
    cast, (first, second) = begin(lab, 2)
    for network, client in ((ONE, first), (TWO, second)):
        arrive(lab, network)
        client.join(cast)
    lab.lost["eth2"] = "eth2 has no link"
    lab.casts.tick()
    assert [(s.leg, s.stopped, s.aborted) for s in lab.senders] == [(0, False, False), (1, True, False)]
    seen = shown(lab, cast)
    assert seen["state"] == "running"
    assert [leg["lost"] for leg in seen["sender"]["legs"]] == ["", "eth2 has no link"]
    assert {c["client"]: c["class"] for c in seen["sender"]["clients"]}[second.id] == "gone"
    second.join(cast)  # it still comes from eth2's network
    assert lab.senders[0].joined == [first.id, second.id]
    assert len(lab.senders) == 2
    clients = shown(lab, cast)["sender"]["clients"]
    assert [(c["client"], c["interface"]) for c in clients] == [(first.id, "eth1"), (second.id, "eth1")]


def test_a_client_that_comes_by_another_interface_is_shown_there_at_once(lab: ServerLab) -> None:
    cast, (only,) = begin(lab, 1)
    for network in (ONE, TWO, ONE, TWO):
        arrive(lab, network)
        only.join(cast)
        clients = shown(lab, cast)["sender"]["clients"]
        assert [(c["client"], c["interface"]) for c in clients] == [(only.id, network.interface)]


def test_an_interface_that_is_back_casts_again(lab: ServerLab) -> None:
    cast, (only,) = begin(lab, 1)
    arrive(lab, TWO)
    only.join(cast)
    lab.lost.update(eth1="the interface eth1 is gone", eth2="the interface eth2 is gone")
    lab.casts.tick()
    refused = only.get(f"/casts/{cast}/descriptor")
    assert refused.status_code == 503
    assert "eth1 is gone" in refused.json()["error"]
    assert shown(lab, cast)["state"] == "running", "it waits for an interface"
    lab.lost.clear()
    lab.casts.tick()
    only.join(cast)
    assert [(s.leg, s.started) for s in lab.senders] == [(1, True), (1, True)]


def test_a_leg_can_be_asked_while_its_sender_ends(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, (only,) = begin(lab, 1)
    arrive(lab, ONE)
    only.join(cast)
    run = lab.casts.get(cast).run
    assert run is not None
    seen: list[str] = []

    def stop(_sender: object, *, abort: bool = False) -> None:
        def ask() -> None:
            status = run.status()
            seen.append(status.legs[0].lost if status is not None else "")

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(5)
        assert not abort

    monkeypatch.setattr(FakeSender, "stop", stop)
    lab.lost["eth1"] = "eth1 has no link"
    lab.casts.tick()
    assert seen == ["eth1 has no link"]


def test_the_cast_says_why_nobody_can_take_part(lab: ServerLab) -> None:
    cast, _ = begin(lab, 1)
    lab.lost.update(eth1="no cable", eth2="no power")
    lab.casts.tick()
    run = lab.casts.get(cast).run
    assert run is not None
    with pytest.raises(Busy, match="no cable, no power"):
        run.current_sender()
