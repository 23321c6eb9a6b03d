"""The facts of an interface and of the host, gathered within some seconds; nothing is changed."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any, TypeVar

from castcore.doctor import Bridge, Caster, HostFacts, InterfaceFacts, Port, PortFact, Querying
from castcore.edge import run
from castcore.edge.cast import preflight
from castcore.edge.cast.discovery import find_servers
from castcore.edge.doctor.portlook import look_at_ports
from castcore.edge.doctor.querierlook import look_for_querier
from castcore.edge.net import nics
from castcore.edge.net.dhcpprobe import Surroundings, probe
from castcore.edge.net.interface import find_interface
from castcore.errors import FleetcastError, NotFound

# A group of casts (docs/network.md): whether the kernel would send there.
GROUP = "239.193.0.1"
DISCOVERY_SECONDS = 2.0
NFT_SECONDS = 10.0
# linux/if.h
_IFF_MULTICAST = 0x1000

Result = TypeVar("Result")


def examine(
    names: Sequence[str], ports: tuple[Port, ...], seconds: float
) -> tuple[tuple[InterfaceFacts, ...], HostFacts]:
    """The facts of the interfaces called ``names`` and of the host, queriers listened for ``seconds``.

    Raises Refused (not root), NotFound (no such interface), NetworkFailed.
    """
    with ThreadPoolExecutor(max_workers=4 * len(names)) as pool:
        begun = [_begin(pool, name, ports, seconds) for name in names]
        found = tuple(finish() for finish in begun)
    ruleset, unread = _ruleset()
    return found, HostFacts(found, ruleset=ruleset, unread=unread, wanted=ports)


def _begin(
    pool: ThreadPoolExecutor, name: str, ports: tuple[Port, ...], seconds: float
) -> Callable[[], InterfaceFacts]:
    """Start all that takes time on one interface; what is returned waits for it."""
    if name not in (known for _, known in socket.if_nameindex()):
        raise NotFound(f"no network interface {name}", hint="`ip link` lists the interfaces")
    link = nics.nic(name).link
    servers = pool.submit(_others, name) if link else None
    around = pool.submit(_around, name) if link else None
    querying = pool.submit(_querying, name, seconds) if link else None
    held = pool.submit(_ports, name, ports)

    def finish() -> InterfaceFacts:
        surroundings, unprobed = _done(around, (None, "it has no link"))
        queried, unheard = _done(querying, (None, ""))
        return _facts(
            name,
            surroundings,
            unprobed,
            casters=_done(servers, ()),
            querying=queried,
            unheard=unheard,
            ports=held.result(),
        )

    return finish


def _done(future: Future[Result] | None, otherwise: Result) -> Result:
    return otherwise if future is None else future.result()


def _facts(
    name: str,
    surroundings: Surroundings | None,
    unprobed: str,
    *,
    casters: tuple[Caster, ...],
    querying: Querying | None,
    unheard: str,
    ports: tuple[PortFact, ...],
) -> InterfaceFacts:
    nic = nics.nic(name)
    return InterfaceFacts(
        name,
        link=nic.link,
        speed=nic.speed,
        duplex=nics.duplex(name),
        mtu=nics.mtu(name),
        wireless=nics.is_wireless(name),
        obeys_pause=preflight.pause(name).obeyed,
        obstacle=_obstacle(name),
        addresses=tuple(IPv4Interface(text) for text in nic.addresses),
        ipv6=nics.ipv6_addresses(name),
        leased=bool(surroundings and surroundings.leased),
        servers=surroundings.servers if surroundings else (),
        unprobed=unprobed,
        casters=casters,
        querying=querying,
        unheard=unheard,
        bridge=_bridge(name),
        ports=ports,
    )


def _around(name: str) -> tuple[Surroundings | None, str]:
    """The DHCP and PXE servers there, or why they were not looked for."""
    try:
        found = probe(name)
        # This host's own server may be heard by another leg in the same network.
        others = tuple(s for s in found.servers if not nics.interface_with(s.address))
        return replace(found, servers=others), ""
    except FleetcastError as error:
        return None, error.what


def _others(name: str) -> tuple[Caster, ...]:
    """The cast servers that answer there, but for this host's own."""
    found = find_servers([name], seconds=DISCOVERY_SECONDS)
    others = (s for s in found if not nics.interface_with(_host(s.url)))
    return tuple(Caster(server.name, server.url) for server in others)


def _host(url: str) -> str:
    return url.split("//")[-1].rpartition(":")[0].strip("[]")


def _querying(name: str, seconds: float) -> tuple[Querying | None, str]:
    """Whether a querier asks there, or why none was listened for."""
    try:
        return look_for_querier(find_interface(name), seconds), ""
    except NotFound:  # it has no address: that is told anyway
        return None, ""
    except FleetcastError as error:
        return None, error.what


def _ports(name: str, ports: tuple[Port, ...]) -> tuple[PortFact, ...]:
    address = nics.ipv4_address(name)
    return look_at_ports(name, address, ports) if address else ()


def _obstacle(name: str) -> str:
    """Why the kernel would not send multicast through it, "" when it would. No packet is sent."""
    if not _number(nics.SYSFS / name / "flags") & _IFF_MULTICAST:
        return "the interface has no MULTICAST flag"
    address = nics.ipv4_address(name)
    if not address:
        return ""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probed:
            via = socket.inet_aton(address)
            probed.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, via)
            probed.connect((GROUP, 9))
    except OSError as error:
        return str(error.strerror)
    return ""


def _bridge(name: str) -> Bridge | None:
    folder = nics.SYSFS / name / "bridge"
    if not folder.is_dir():
        return None
    return Bridge(
        snooping=_number(folder / "multicast_snooping") == 1,
        querier=_number(folder / "multicast_querier") == 1,
    )


def _number(path: Path) -> int:
    try:
        return int(path.read_text().strip(), 0)
    except (OSError, ValueError):
        return 0


def _ruleset() -> tuple[dict[str, Any] | None, str]:
    """What nftables holds, or why that is unknown. Listing changes nothing."""
    try:
        value = json.loads(run.run(["nft", "-j", "list", "ruleset"], timeout=NFT_SECONDS))
    except FleetcastError as error:
        return None, error.what
    except ValueError:
        return None, "nft did not answer with JSON"
    return (value, "") if isinstance(value, dict) else (None, "nft did not answer with an object")
