"""Datagram sockets of the boot services, and who is behind an address."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from castcore.edge.net.portholder import bind_error
from castcore.errors import NotFound, PortTaken

# The table of the calling thread's network namespace; /proc/net is the main thread's.
ARP_TABLE = Path("/proc/thread-self/net/arp")
RECEIVE_BUFFER = 1 << 20
LARGEST_DATAGRAM = 65535
# linux/in.h; the socket module names it from Python 3.14 on only.
IP_PKTINFO = 8
_PKTINFO = struct.Struct("=i4s4s")  # interface index, source address to use, unused (ip(7), in_pktinfo)


class BroadcastSocket:
    """A UDP socket on one port of one interface that may broadcast; sends from a given address.

    It is tied to the interface (SO_BINDTODEVICE), so that several can be served differently and a
    broadcast leaves through the right one.
    Raises NotFound (no such interface), PortTaken, Refused (not root).
    """

    def __init__(self, interface: str, address: str, port: int) -> None:
        self.port = port
        self._info = packet_info(interface_index(interface), address)
        self._socket = _opened("", port, interface)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def receive(self) -> tuple[bytes, tuple[str, int]]:
        """One datagram and its sender; BlockingIOError when there is none."""
        return self._socket.recvfrom(LARGEST_DATAGRAM)

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        """Send one datagram. Raises OSError."""
        ancillary = [(socket.IPPROTO_IP, IP_PKTINFO, self._info)]
        self._socket.sendmsg([data], ancillary, 0, to)

    def close(self) -> None:
        """Free the port."""
        self._socket.close()


def datagram_socket(address: str, port: int) -> socket.socket:
    """A non-blocking UDP socket on ``address`` and ``port`` (0: any).

    Not tied to an interface: a host with two legs in one network may hear requests on either.
    Raises as BroadcastSocket does.
    """
    return _opened(address, port)


def port_holder(interface: str, address: str, port: int) -> str:
    """Why another program's hold on the port keeps us from it on ``interface``, "" when nothing does.

    The port is opened as a service would, and closed again. Raises NotFound, Refused, NetworkFailed.
    """
    try:
        BroadcastSocket(interface, address, port).close()
    except PortTaken as error:
        return error.what
    return ""


def packet_info(index: int, address: str) -> bytes:
    """IP_PKTINFO that sends through the interface ``index`` from our ``address``."""
    return _PKTINFO.pack(index, socket.inet_aton(address), bytes(4))


def interface_index(interface: str) -> int:
    """The kernel's number of the interface. Raises NotFound."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        names = ", ".join(name for _, name in socket.if_nameindex())
        raise NotFound(f"no such interface: {interface}", hint=f"this machine has {names}") from None


def neighbour_mac(address: str, table: Path = ARP_TABLE) -> str:
    """The MAC address the kernel knows for an IPv4 neighbour; "" when it knows none."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return ""
    # IP address, HW type, Flags, HW address, Mask, Device
    found = {words[0]: words[3] for line in lines if len(words := line.split()) > 5}
    mac = found.get(address, "").lower()
    return "" if mac == "00:00:00:00:00:00" else mac


def _opened(address: str, port: int, interface: str = "") -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if interface:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        made.settimeout(0)
        made.bind((address, port))
    except OSError as error:
        made.close()
        raise bind_error(error, "udp", address or interface, port) from None
    return made
