"""The socket that hears IPv6 Router Solicitations on one interface and answers them."""

from __future__ import annotations

import socket
import struct

from castcore.boot.routeradvert import HOP_LIMIT, ROUTER_SOLICITATION
from castcore.edge.net.bootsockets import interface_index

ALL_ROUTERS = "ff02::2"
_ICMP6_FILTER = 1
_MESSAGE_MAX = 2048
_INT = struct.Struct("=i")


class RouterSocket:
    """Receives only Router Solicitations from the link itself; sends to a machine on it.

    Raises NotFound (no such interface), and OSError where IPv6 is off or raw sockets are not allowed.
    """

    def __init__(self, interface: str) -> None:
        index = interface_index(interface)
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        try:
            self._socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0"
            )
            # A bit for each message type; those that are set are kept from us.
            kept = [0xFFFFFFFF] * 8
            kept[ROUTER_SOLICITATION // 32] &= ~(1 << ROUTER_SOLICITATION % 32)
            self._socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *kept))
            group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("=I", index)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOP_LIMIT)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            self._socket.settimeout(0)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def receive(self) -> tuple[bytes, int, tuple[str, int, int, int]]:
        """One message, its hop limit and its sender; BlockingIOError when there is none."""
        room = socket.CMSG_SPACE(_INT.size)
        message, ancillary, _flags, sender = self._socket.recvmsg(_MESSAGE_MAX, room)
        limits = [_INT.unpack(data)[0] for _, _, data in ancillary if len(data) == _INT.size]
        return message, limits[0] if limits else 0, sender

    def send(self, message: bytes, to: tuple[str, int, int, int]) -> None:
        """Send one message; the system puts in its checksum. Raises OSError."""
        self._socket.sendto(message, to)

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()
