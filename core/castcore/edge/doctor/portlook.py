"""Which of our ports can be had: each is opened as its service would, and closed again."""

from __future__ import annotations

import socket
from collections.abc import Callable

from castcore.doctor import Port, PortFact
from castcore.edge.cast.discoverysockets import answering_socket
from castcore.edge.net.bootsockets import BroadcastSocket, datagram_socket
from castcore.edge.net.portholder import bind_error, holder_of
from castcore.errors import PortTaken

# Ports of one interface, whatever its address (SO_BINDTODEVICE).
_BY_INTERFACE = (67, 4011)
_DISCOVERY = 7070


def look_at_ports(interface: str, address: str, ports: tuple[Port, ...]) -> tuple[PortFact, ...]:
    """The ``ports`` on ``interface`` with its IPv4 ``address``; of a span the first alone.

    Raises Refused (not root), NotFound (no such interface or address), NetworkFailed.
    """
    return tuple(_look(port, _opener(port, interface, address)) for port in ports if port.first)


def _shared(port: Port) -> PortFact:
    """Of a port that can always be had beside others (SO_REUSEADDR, as multicast needs it)."""
    by = holder_of(port.protocol, port.first)
    return PortFact(port, str(by or ""), ours=bool(by and by.ours), shared=by is not None)


def _opener(port: Port, interface: str, address: str) -> Callable[[], None]:
    def discovery() -> None:
        answering_socket(interface, socket.AF_INET).close()

    def broadcast() -> None:
        BroadcastSocket(interface, address, port.first).close()

    def datagram() -> None:
        datagram_socket(address, port.first).close()

    def stream() -> None:
        _listen(address, port.first)

    if port.protocol == "tcp":
        return stream
    if port.first == _DISCOVERY:
        return discovery
    return broadcast if port.first in _BY_INTERFACE else datagram


def _listen(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((address, port))
        except OSError as error:
            raise bind_error(error, "tcp", address, port) from None


def _look(port: Port, opens: Callable[[], None]) -> PortFact:
    sharing = _shared(port) if port.first == _DISCOVERY else PortFact(port)
    try:
        opens()
    except PortTaken:
        by = holder_of(port.protocol, port.first)
        return PortFact(port, str(by) if by else "another program", ours=bool(by and by.ours))
    return sharing
