"""What the doctor makes of the facts: each finding's level, and something to do where it is bad."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest
from castcore.boot import PXE_PORT, SERVER_PORT, FoundServer
from castcore.cast import discovery
from castcore.cast.constants import DATAGRAM_SIZE
from castcore.cast.membership import WATCH_SECONDS
from castcore.doctor import (
    PORTS,
    Bridge,
    Caster,
    Finding,
    HostFacts,
    InterfaceFacts,
    Level,
    PortFact,
    Querying,
    judge_host,
    judge_interface,
    judgement,
)
from castcore.doctor.ports import Port, Side, server_ports
from castserver.casts import castrun
from castserver.services import tftp

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = IPv4Interface("10.0.0.1/24")
SITE = FoundServer("10.0.0.254", "52:54:00:00:00:fe", "gate")
RIVAL = FoundServer("10.0.0.9", "52:54:00:00:00:09", "wds", pxe=True, dhcp=False)
UDP67, TCP8080 = PORTS[0], PORTS[3]
GOOD = InterfaceFacts(
    "eth1",
    speed=1000,
    duplex="full",
    addresses=(ADDRESS,),
    servers=(SITE,),
    querying=Querying(heard=True, seconds=5, provoked=True),
)


def judged(check: str, **facts: Any) -> Finding:
    """The one finding of this ``check`` that is not OK, or the OK one."""
    found = [f for f in judge_interface(replace(GOOD, **facts)) if f.check == check]
    bad = [f for f in found if f.level is not Level.OK]
    assert len(bad) <= 1
    return (bad or found)[0]


def test_a_good_interface_has_nothing_to_do_anything_about() -> None:
    found = judge_interface(GOOD)
    assert {f.level for f in found} == {Level.OK}
    assert [f.check for f in found] == [
        "link",
        "mtu",
        "address",
        "multicast",
        "querier",
        "dhcp",
        "pxe",
        "cast servers",
    ]
    assert {f.subject for f in found} == {"eth1"}


CASES: list[tuple[str, dict[str, Any], Level, str]] = [
    ("link", {"link": False}, Level.PROBLEM, "no link"),
    ("link", {"speed": 100}, Level.WARNING, "only 100 Mbit/s"),
    ("link", {"duplex": "half"}, Level.PROBLEM, "half duplex"),
    ("link", {"wireless": True}, Level.WARNING, "wireless"),
    ("link", {"speed": 0, "duplex": "unknown"}, Level.OK, "up, speed unknown"),
    ("flow control", {"obeys_pause": True}, Level.WARNING, "PAUSE"),
    ("mtu", {"mtu": 1400}, Level.PROBLEM, "MTU 1400"),
    ("mtu", {"mtu": 9000}, Level.OK, "--jumbo"),
    ("address", {"addresses": ()}, Level.PROBLEM, "no address"),
    ("address", {"addresses": (), "ipv6": ("fe80::1",)}, Level.WARNING, "IPv6 only"),
    ("address", {"addresses": (IPv4Interface("169.254.3.4/16"),)}, Level.WARNING, "link-local"),
    ("address", {"leased": True}, Level.OK, "leased"),
    ("multicast", {"obstacle": "Network is unreachable"}, Level.PROBLEM, "Network is unreachable"),
    ("querier", {"querying": Querying(False, 5, provoked=True)}, Level.WARNING, "no IGMP querier"),
    ("querier", {"querying": None, "unheard": "no link"}, Level.WARNING, "listened for: no link"),
    (
        "querier",
        {"querying": Querying(False, 5, provoked=True), "bridge": Bridge(snooping=True, querier=False)},
        Level.PROBLEM,
        "this bridge snoops",
    ),
    (
        "querier",
        {"querying": Querying(False, 5, provoked=False), "addresses": (), "ipv6": ("fe80::1",)},
        Level.WARNING,
        "no MLD querier",
    ),
    ("dhcp", {"servers": ()}, Level.WARNING, "no DHCP server answers"),
    ("dhcp", {"servers": (SITE, replace(SITE, address="10.0.0.253"))}, Level.PROBLEM, "10.0.0.253"),
    ("dhcp", {"servers": (RIVAL,)}, Level.WARNING, "no DHCP server answers"),
    ("dhcp", {"unprobed": "it has no link"}, Level.WARNING, "it has no link"),
    (
        "dhcp",
        {"servers": (), "ports": (PortFact(UDP67, '"dnsmasq" (process 8)'),)},
        Level.OK,
        'but "dnsmasq" (process 8) on this host',
    ),
    ("pxe", {"servers": (SITE, RIVAL)}, Level.PROBLEM, "10.0.0.9 (wds, 52:54:00:00:00:09)"),
    (
        "cast servers",
        {"casters": (Caster("workshop", "https://10.0.0.7:8443"),)},
        Level.WARNING,
        "workshop (https://10.0.0.7:8443)",
    ),
]


@pytest.mark.parametrize(("check", "facts", "level", "words"), CASES)
def test_each_fact_has_its_finding(check: str, facts: dict[str, Any], level: Level, words: str) -> None:
    found = judged(check, **facts)
    assert (found.level, found.subject) == (level, "eth1")
    assert words in found.what
    assert found.do or level is Level.OK or check == "dhcp"


def test_a_short_look_for_a_querier_says_how_to_be_sure() -> None:
    assert "--listen 130" in judged("querier", querying=Querying(False, 5, provoked=True)).do
    assert "--listen" not in judged("querier", querying=Querying(False, 131, provoked=True)).do


def test_nothing_is_said_of_what_was_not_looked_at() -> None:
    found = judge_interface(InterfaceFacts("eth1", link=False, unprobed="it has no link"))
    assert not {"querier", "pxe"} & {f.check for f in found}


def judged_host(*interfaces: InterfaceFacts, **facts: Any) -> list[Finding]:
    facts = {"ruleset": {"nftables": []}, "wanted": server_ports(), **facts}
    return list(judge_host(HostFacts(interfaces, **facts)))


def test_ports_are_free_ours_or_somebody_elses() -> None:
    ours = PortFact(TCP8080, '"fleetcast" (process 7)', ours=True)
    taken = PortFact(PORTS[1], '"dnsmasq" (process 8)')
    free = PortFact(PORTS[2])
    one, two, three = (
        f for f in judged_host(replace(GOOD, ports=(ours, taken, free))) if f.check == "ports"
    )
    assert (one.level, one.what) == (Level.OK, "free: UDP 69")
    assert (two.level, two.what) == (Level.OK, "held by our own server: TCP 8080")
    assert (three.level, three.subject) == (Level.PROBLEM, "eth1")
    assert 'UDP 4011 (PXE boot server) is taken by "dnsmasq" (process 8)' in three.what
    assert "--boot-mode off" in three.do


def test_a_dhcp_server_on_this_host_leaves_room_for_a_proxy() -> None:
    taken = PortFact(UDP67, '"dnsmasq" (process 8)')
    (found,) = (f for f in judged_host(replace(GOOD, ports=(taken,))) if f.check == "ports")
    assert found.level is Level.WARNING
    assert 'UDP 67 (DHCP, proxy DHCP) is taken by "dnsmasq" (process 8)' in found.what
    assert "beside" in found.do


def test_a_port_that_can_be_shared_is_no_problem() -> None:
    taken = PortFact(PORTS[2], '"other" (process 8)', shared=True)
    (found,) = (f for f in judged_host(replace(GOOD, ports=(taken,))) if f.check == "ports")
    assert found.level is Level.WARNING
    assert 'taken by "other" (process 8)' in found.what
    assert found.do


def test_a_taken_port_that_can_be_moved_says_by_which_option() -> None:
    (found,) = (
        f for f in judged_host(replace(GOOD, ports=(PortFact(TCP8080, "x"),))) if f.check == "ports"
    )
    assert "--http-port" in found.do


CLOSED = {
    "nftables": [
        {
            "chain": {
                "family": "inet",
                "table": "filter",
                "name": "input",
                "hook": "input",
                "policy": "drop",
            }
        },
        {
            "rule": {
                "family": "inet",
                "table": "filter",
                "chain": "input",
                "expr": [
                    {
                        "match": {
                            "op": "==",
                            "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                            "right": {"set": [8443, 22]},
                        }
                    },
                    {"accept": None},
                ],
            }
        },
    ]
}


def test_a_closed_firewall_is_named_with_the_line_that_opens_it() -> None:
    (found,) = (f for f in judged_host(GOOD, ruleset=CLOSED) if f.check == "firewall")
    assert (found.level, found.subject) == (Level.PROBLEM, "eth1")
    assert "the chain inet filter input drops UDP 67, UDP 4011, UDP 69, TCP 8080" in found.what
    assert "8443" not in found.what
    assert (
        "`nft insert rule inet filter input iifname eth1"
        " udp dport { 67, 4011, 69, 7070, 7101-7499 } accept`" in found.do
    )
    assert "ip protocol igmp accept" in found.do


def test_an_open_firewall_and_one_that_cannot_be_read() -> None:
    (found,) = (f for f in judged_host(GOOD) if f.check == "firewall")
    assert found.level is Level.OK
    (found,) = (
        f for f in judged_host(GOOD, ruleset=None, unread="not installed: nft") if f.check == "firewall"
    )
    assert found.level is Level.WARNING
    assert "not installed: nft" in found.what


def test_two_interfaces_of_one_network_are_warned_of() -> None:
    other = replace(GOOD, name="eth2", addresses=(IPv4Interface("10.0.0.2/24"),))
    apart = replace(GOOD, name="eth2", addresses=(IPv4Interface("10.0.1.2/24"),))
    assert [f.what for f in judged_host(GOOD, other) if f.check == "interfaces"] == [
        "eth1 and eth2 are both in 10.0.0.0/24: which carries what is chance"
    ]
    assert not [f for f in judged_host(GOOD, apart) if f.check == "interfaces"]


def test_the_table_of_ports_is_the_codes_own() -> None:
    first = {(p.use, p.first) for p in PORTS}
    assert {port for _, port in first} >= {
        SERVER_PORT,
        PXE_PORT,
        tftp.PORT,
        discovery.PORT,
        castrun.FIRST_PORT,
        castrun.FIRST_PORT + 1,
    }
    data = next(p for p in PORTS if p.side is Side.CLIENT)
    assert data.last == castrun.FIRST_PORT + 2 * (castrun.MOST_SLOTS - 1)
    assert next(p for p in PORTS if p.first == castrun.FIRST_PORT + 1).last == data.last + 1
    assert judgement.WATCH_SECONDS == WATCH_SECONDS
    # The UDP and IPv6 headers of a packet of data.
    assert DATAGRAM_SIZE + 40 + 8 <= judgement.ETHERNET_MTU


def test_ports_that_were_moved_are_looked_at_where_they_are() -> None:
    moved = {p.setting: p.first for p in server_ports(http=80, https=443) if p.setting}
    assert moved == {"--http-port": 80, "--listen-https": 443}


@pytest.mark.parametrize("port", PORTS, ids=lambda p: p.name)
def test_the_manual_has_every_port(port: Port) -> None:
    table = (ROOT / "docs/network.md").read_text().partition("\n## ")[0]
    assert re.search(rf"^\| {re.escape(port.name)} \|", table, re.MULTILINE), port.name
    if port.setting:
        assert port.setting in table
