"""The sockets of discovery: those that ask and those that answer, one for each interface and family."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

from castcore.cast import discovery
from castcore.edge.net import nics
from castcore.edge.net.interface import SocketAddress
from castcore.errors import NetworkFailed, NotFound, PortTaken

# One socket is read at most this often before the others get their turn.
BATCH = 64
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29
_IP_MREQN = struct.Struct("=4s4si")
_IPV6_MREQ = struct.Struct("=16si")


def asking_sockets(interface: str) -> list[tuple[socket.socket, SocketAddress]]:
    """Sockets that ask on ``interface``, and where each sends to; none where it has no address now."""
    made = [_asking_ipv4(interface), _asking_ipv6(interface)]
    return [asking for asking in made if asking is not None]


def answering_socket(interface: str, family: socket.AddressFamily) -> socket.socket:
    """A socket that hears what is asked on ``interface`` over one family.

    Raises NotFound (no such interface), NetworkFailed (not root), PortTaken.
    """
    try:
        index = socket.if_nametoindex(interface)
    except OSError:
        raise NotFound(
            f"no network interface {interface}", hint="`ip link` lists the interfaces"
        ) from None
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Hear and answer on this interface only: the asker may have an address of another network.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        (_listen_ipv6 if family is socket.AF_INET6 else _listen_ipv4)(sock, index)
        sock.settimeout(0)
    except OSError as error:
        sock.close()
        if isinstance(error, PermissionError):
            raise NetworkFailed(
                f"cannot answer on {interface}: {error.strerror}", hint="run this as root"
            ) from None
        raise PortTaken(
            f"UDP port {discovery.PORT} on {interface} cannot be used: {error.strerror}",
            hint=f"`ss -lunp sport = :{discovery.PORT}` shows which program has it",
        ) from None
    return sock


def waiting(sock: socket.socket) -> Iterator[tuple[bytes, SocketAddress]]:
    """The datagrams waiting at ``sock``, at most BATCH; an outsize one is a byte over the limit."""
    for _ in range(BATCH):
        try:
            data, sender = sock.recvfrom(discovery.MOST_BYTES + 1)
        except OSError:  # nothing more, or an ICMP error of an earlier send
            return
        yield data, sender


def _asking_ipv4(interface: str) -> tuple[socket.socket, SocketAddress] | None:
    address = nics.ipv4_address(interface)
    if not address:
        return None
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        via = _mreqn("0.0.0.0", socket.if_nametoindex(interface))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, via)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.bind((address, 0))
        sock.settimeout(0)
    except OSError:
        sock.close()
        return None
    return sock, (discovery.GROUP, discovery.PORT)


def _asking_ipv6(interface: str) -> tuple[socket.socket, SocketAddress] | None:
    """Asks from the link-local address: every interface with IPv6 has one (RFC 4291, 2.1)."""
    own = (a for a in nics.ipv6_addresses(interface) if ipaddress.IPv6Address(a).is_link_local)
    address = next(own, "")
    if not address:
        return None
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        index = socket.if_nametoindex(interface)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        sock.bind((address, 0, 0, index))
        sock.settimeout(0)
    except OSError:
        sock.close()
        return None
    return sock, (discovery.GROUP_IPV6, discovery.PORT, 0, index)


def _listen_ipv4(sock: socket.socket, index: int) -> None:
    sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    sock.bind((discovery.GROUP, discovery.PORT))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _mreqn(discovery.GROUP, index))


def _listen_ipv6(sock: socket.socket, index: int) -> None:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
    sock.bind((discovery.GROUP_IPV6, discovery.PORT, 0, index))
    group = socket.inet_pton(socket.AF_INET6, discovery.GROUP_IPV6)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, _IPV6_MREQ.pack(group, index))


def _mreqn(group: str, index: int) -> bytes:
    return _IP_MREQN.pack(socket.inet_aton(group), bytes(4), index)
