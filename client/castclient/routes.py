"""The way to the server where several cards lead to networks that look alike, or all have a gateway."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from pathlib import Path

from castcore.edge.net import addresses, nics
from castcore.edge.net.pinned import host_and_port
from castcore.errors import NetworkFailed

from castclient.addressing import halves

# Of the thread's own network namespace.
_TABLE = Path("/proc/thread-self/net/route")
_ADDRESS = struct.Struct("=I")  # as the kernel has it, in the order of this machine's bytes


def settle(interface: str, url: str, used: Iterable[str]) -> None:
    """Make ``interface`` the way to the server at ``url``, where another of the ``used`` might be taken.

    IPv4 alone: a link-local IPv6 address names its interface. Raises ProgramFailed, MissingProgram.
    """
    own = nics.subnet(interface, nics.ipv4_address(interface))
    if not isinstance(own, ipaddress.IPv4Network):
        return
    host = _literal(url)
    if host is not None and host not in own:
        gateway = gateway_of(interface, _table())
        if gateway:
            addresses.route(f"{host}/32", interface, gateway=gateway)
        return
    if any(_overlaps(own, other) for other in used if other != interface):
        for half in halves(own):
            addresses.route(half, interface)


def gateway_of(interface: str, table: str) -> str:
    """The gateway of ``interface`` in the text of /proc/net/route, "" for none (proc(5))."""
    for line in table.splitlines()[1:]:
        name, destination, gateway, *_ = line.split()
        if name == interface and int(destination, 16) == 0 and int(gateway, 16):
            return str(ipaddress.IPv4Address(_ADDRESS.pack(int(gateway, 16))))
    return ""


def _literal(url: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(host_and_port(url)[0])
    except (ValueError, NetworkFailed):
        return None


def _overlaps(own: ipaddress.IPv4Network, other: str) -> bool:
    found = nics.subnet(other, nics.ipv4_address(other))
    return isinstance(found, ipaddress.IPv4Network) and own.overlaps(found)


def _table() -> str:
    try:
        return _TABLE.read_text()
    except OSError:
        return ""
