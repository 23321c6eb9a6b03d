"""Machines behind a relay in another subnet: served by the proxy, never leased by our own DHCP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from castcore.boot import BootStage, InterfaceMode, LeaseRules, MemoryStore

from tests.net.bootclients import (
    BROADCAST_FLAG,
    DISCOVER,
    FIRMWARE,
    OFFER,
    OURS,
    REQUEST,
    answers,
    boot_settings,
    dhcp_server,
    dnsmasq,
    kind,
    options,
    packet,
    serving,
)
from tests.net.hosts import Hosts, hosts
from tests.support.bootevents import Events

pytestmark = pytest.mark.root

SITE, RELAY, FIRMWARES = "192.0.2.3", "198.51.100.1", "198.51.100.50"
RELAYS = {
    "dhcrelay": ["dhcrelay", "-4", "-d", "-a", "-id", "south", "-iu", "wire0", OURS, SITE],
    "dnsmasq": [
        *("dnsmasq", "-k", "--port=0", "--conf-file=/dev/null", "--interface=south,wire0"),
        *(f"--dhcp-relay={RELAY},{OURS}", f"--dhcp-relay={RELAY},{SITE}"),
    ],
}


@pytest.fixture
def net() -> Iterator[Hosts]:
    """Us (s) and the site's DHCP server (d) on one switch; behind the router r the client c."""
    with hosts("relay") as made:
        made.switch("hub", "s", "d", "r")
        made.cable(("r", "south"), ("c", "wire0"))
        for host, interface, address in (
            ("s", "wire0", OURS),
            ("d", "wire0", SITE),
            ("r", "wire0", "192.0.2.2"),
            ("r", "south", RELAY),
            ("c", "wire0", "198.51.100.9"),
        ):
            made.address(host, interface, f"{address}/24")
        for host in ("s", "d"):
            made.run(host, "ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.2")
        made.run("c", "ip", "route", "add", "default", "via", RELAY)
        made.run("r", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        made.be("c", "wire0", FIRMWARE)
        yield made


@pytest.fixture(params=RELAYS)
def relay(net: Hosts, request: pytest.FixtureRequest) -> Iterator[str]:
    with dhcp_server(net, "r", RELAYS[request.param]):
        yield request.param


def test_the_proxy_serves_a_machine_behind_a_relay(net: Hosts, relay: str, tmp_path: Path) -> None:
    dhcp = dnsmasq(f"{FIRMWARES},{FIRMWARES},255.255.255.0")
    events = Events()
    with (
        dhcp_server(net, "d", dhcp),
        serving(net, boot_settings(tmp_path, InterfaceMode.PROXY), events),
    ):
        discover = packet(DISCOVER, flags=BROADCAST_FLAG)
        assert {a.yiaddr for a in answers(net, "c", discover, wanted=2)} == {"0.0.0.0", FIRMWARES}
        # Without the flag the relay hands the lease to the machine's frame address; our offer has none.
        offer = answers(net, "c", packet(DISCOVER))[0]
        assert offer.yiaddr == "0.0.0.0"
        assert kind(offer) == OFFER
        assert (offer.siaddr, offer.file.rstrip(b"\0")) == (OURS, b"shimx64.efi")
        assert options(offer)["server_id"] == OURS
        assert events.wait_for(lambda e: e.stage is BootStage.OFFERED).mac == FIRMWARE
        net.address("c", "wire0", f"{FIRMWARES}/24")
        asked = packet(REQUEST, ciaddr=FIRMWARES)
        boot = answers(net, "c", asked, to=OURS, port=4011, own=4011)[0]
        assert boot.file.rstrip(b"\0") == b"shimx64.efi"
        got = tmp_path / "got"
        net.run("c", "curl", "-sf", "-o", got, f"tftp://{OURS}/shimx64.efi")
        assert got.read_bytes() == (tmp_path / "shim").read_bytes()


def test_our_own_dhcp_leases_nothing_into_another_subnet_and_says_why(
    net: Hosts, relay: str, tmp_path: Path
) -> None:
    events, store = Events(), MemoryStore(LeaseRules(everyone=True))
    with serving(net, boot_settings(tmp_path, InterfaceMode.DHCP), events, store):
        assert answers(net, "c", packet(DISCOVER), packet(DISCOVER, pxe=False), seconds=2) == []
        told = events.wait_for(lambda e: e.stage is BootStage.REFUSED)
    assert f"through the relay {RELAY}" in told.detail
    assert store.kept() == ()
