"""What the facts of one interface mean for casting and booting through it."""

from __future__ import annotations

from collections.abc import Iterator

from castcore.doctor.facts import InterfaceFacts
from castcore.doctor.findings import Finding, Level

GIGABIT = 1000
# Data travels in packets of 1500 bytes (``castcore.cast.constants``), or of 9000 with --jumbo.
ETHERNET_MTU = 1500
# RFC 3376, 8.2: queriers ask every 125 s.
WATCH_SECONDS = 130.0
DHCP_PORT = 67
OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM


def judge_interface(facts: InterfaceFacts) -> tuple[Finding, ...]:
    """All findings about one interface, in the order of the things one would look at."""
    found = [
        *_link(facts),
        *_mtu(facts),
        *_addresses(facts),
        *_multicast(facts),
        *_querier(facts),
        *_dhcp(facts),
        *_pxe(facts),
        *_casters(facts),
    ]
    return tuple(Finding(level, facts.name, *rest) for level, *rest in found)


# A finding without its subject: level, check, what, do.
_Found = Iterator[tuple[Level, str, str, str]]


def _link(facts: InterfaceFacts) -> _Found:
    if not facts.link:
        yield PROBLEM, "link", "no link", "is its cable plugged in, and the switch on?"
        return
    if facts.wireless:
        yield (
            WARNING,
            "link",
            "it is wireless: access points send multicast at their lowest rate",
            "cast by cable",
        )
    if facts.duplex == "half":
        yield PROBLEM, "link", "half duplex", "let both ends negotiate (no fixed speed on either)"
    speed = f"{facts.speed} Mbit/s" if facts.speed else "speed unknown"
    if 0 < facts.speed < GIGABIT:
        do = "a better cable or switch port; a cast cannot be faster than this link"
        yield WARNING, "link", f"only {speed}", do
    else:
        duplex = f", {facts.duplex} duplex" if facts.duplex not in ("", "unknown", "half") else ""
        yield OK, "link", f"up, {speed}{duplex}", ""
    if facts.obeys_pause:
        yield (
            WARNING,
            "flow control",
            "it obeys PAUSE frames: one slow port can hold back all machines",
            f"`ethtool -A {facts.name} rx off`, or flow control off at the switch",
        )


def _mtu(facts: InterfaceFacts) -> _Found:
    if facts.mtu < ETHERNET_MTU:
        yield (
            PROBLEM,
            "mtu",
            f"MTU {facts.mtu}: a cast's packets need {ETHERNET_MTU}",
            f"`ip link set {facts.name} mtu {ETHERNET_MTU}`",
        )
    elif facts.mtu > ETHERNET_MTU:
        what = f"MTU {facts.mtu}: switches and machines need it too, but only for --jumbo"
        yield OK, "mtu", what, ""
    else:
        yield OK, "mtu", f"MTU {facts.mtu}", ""


def _addresses(facts: InterfaceFacts) -> _Found:
    if not facts.addresses:
        if facts.ipv6:
            what = f"IPv6 only ({facts.ipv6[0]}): casts work, network boots need IPv4"
            yield WARNING, "address", what, "give it an IPv4 address to boot machines"
        else:
            yield PROBLEM, "address", "no address", "give it one, see `ip addr`"
        return
    first = facts.addresses[0]
    if first.ip.is_link_local:
        yield (
            WARNING,
            "address",
            f"{first} is link-local: only machines without a DHCP server can be served there",
            "give it an address of the site's network, or of one of your own",
        )
    elif facts.leased:
        what = f"{first}, leased by a DHCP server"
        yield OK, "address", what, "reserve it there: machines look for the server at this address"
    else:
        yield OK, "address", f"{first}, fixed", ""


def _multicast(facts: InterfaceFacts) -> _Found:
    if facts.obstacle:
        do = f"`ip link set {facts.name} multicast on`, see `ip route get 239.193.0.1 oif {facts.name}`"
        yield PROBLEM, "multicast", f"multicast cannot leave by it: {facts.obstacle}", do
    elif facts.addresses or facts.ipv6:
        yield OK, "multicast", "multicast can leave by it", ""


def _querier(facts: InterfaceFacts) -> _Found:
    asked = facts.querying
    if asked is None:
        if facts.unheard:
            what = f"no querier was listened for: {facts.unheard}"
            yield WARNING, "querier", what, "look again when that is mended"
        return
    kind = "IGMP" if facts.addresses else "MLD"
    if asked.heard:
        yield OK, "querier", f"an {kind} querier asks", ""
    elif facts.bridge is not None and facts.bridge.snooping and not facts.bridge.querier:
        yield (
            PROBLEM,
            "querier",
            f"this bridge snoops {kind} and no querier asks: streams stop after some minutes",
            f"`ip link set {facts.name} type bridge mcast_querier 1`, or `serve --querier`",
        )
    else:
        how = "after a group was left" if asked.provoked else "of listening"
        do = "switch on the querier of the switch or router, or give `serve` and `send` --querier"
        if asked.seconds < WATCH_SECONDS:
            do += f"; to be sure listen longer (--listen {WATCH_SECONDS:.0f})"
        what = (
            f"no {kind} querier was heard in {asked.seconds:.0f} s {how}: a switch that snoops"
            " stops streams after some minutes"
        )
        yield WARNING, "querier", what, do


def _dhcp(facts: InterfaceFacts) -> _Found:
    if facts.unprobed:
        yield WARNING, "dhcp", f"no DHCP server was looked for: {facts.unprobed}", ""
        return
    others = [server.label for server in facts.servers if server.dhcp]
    held = next((p for p in facts.ports if p.port.first == DHCP_PORT and p.taken), None)
    if len(others) > 1:
        what = f"{len(others)} DHCP servers answer: {', '.join(others)}"
        yield PROBLEM, "dhcp", what, "switch off all but one: which one a machine follows is chance"
    elif others:
        yield OK, "dhcp", f"the DHCP server {others[0]} answers", ""
    elif held is not None:
        own = "our own server" if held.ours else held.taken
        yield OK, "dhcp", f"no DHCP server answers but {own} on this host, if that is one", ""
    else:
        yield (
            WARNING,
            "dhcp",
            "no DHCP server answers: machines get no address to boot with",
            "start one, or let `fleetcast serve` be it (--boot-mode dhcp)",
        )


def _pxe(facts: InterfaceFacts) -> _Found:
    rivals = [server.label for server in facts.servers if server.pxe]
    if rivals:
        yield (
            PROBLEM,
            "pxe",
            f"another PXE server answers: {', '.join(rivals)}",
            "switch it off (or its DHCP options 66 and 67): which one a machine follows is chance",
        )
    elif not facts.unprobed:
        yield OK, "pxe", "no other PXE server answers", ""


def _casters(facts: InterfaceFacts) -> _Found:
    if facts.casters:
        names = ", ".join(f"{c.name} ({c.url})" for c in facts.casters)
        what = f"another cast server answers: {names}"
        do = "machines follow the one that booted them; boot from one of them only"
        yield WARNING, "cast servers", what, do
    else:
        yield OK, "cast servers", "no other cast server answers", ""
