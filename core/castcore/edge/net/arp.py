"""ARP on one interface: asking who uses an address without claiming it, and hearing the answers."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from ipaddress import IPv4Address

from castcore.boot import ArpPacket
from castcore.boot.message import mac_text
from castcore.edge.net.bootsockets import interface_index
from castcore.errors import BadPacket, NetworkFailed, Refused

_ETH_P_ARP = 0x0806
_SIOCGIFHWADDR = 0x8927
# linux/if_packet.h; what we send is not heard.
_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_BROADCAST = b"\xff" * 6
# RFC 826: hardware and protocol type and length, operation, sender's and target's addresses.
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET_IPV4 = (1, 0x0800, 6, 4)
_REQUEST = 1
_LARGEST = 2048


class ArpSocket:
    """Raises NotFound (no such interface), Refused (no right to raw sockets), NetworkFailed."""

    def __init__(self, interface: str) -> None:
        interface_index(interface)
        try:
            self._socket = socket.socket(
                socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_ARP)
            )
        except OSError as error:
            raise _open_error(error, interface) from None
        try:
            self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            self._socket.bind((interface, _ETH_P_ARP))
            request = struct.pack("16s24x", interface.encode())
            # struct ifreq: the name, then a sockaddr whose data begins after two bytes of family.
            self._mac = fcntl.ioctl(self._socket, _SIOCGIFHWADDR, request)[18:24]
        except OSError as error:
            self._socket.close()
            raise _open_error(error, interface) from None
        self._to = (interface, _ETH_P_ARP, 0, 0, _BROADCAST)

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def probe(self, address: IPv4Address) -> None:
        """Ask who has ``address``, from 0.0.0.0 so that no cache is changed. Raises OSError."""
        self._socket.sendto(encode_probe(self._mac, address), self._to)

    def announce(self, address: IPv4Address) -> None:
        """Say that ``address`` is ours now. Raises OSError."""
        self._socket.sendto(encode_announcement(self._mac, address), self._to)

    def receive(self) -> ArpPacket:
        """One packet. Raises BlockingIOError when there is none, BadPacket, OSError (link down)."""
        return decode(self._socket.recv(_LARGEST))

    def close(self) -> None:
        """Hear nothing more."""
        self._socket.close()


def encode_probe(mac: bytes, address: IPv4Address) -> bytes:
    """An ARP probe (RFC 5227 section 1.1)."""
    return _ARP.pack(*_ETHERNET_IPV4, _REQUEST, mac, bytes(4), bytes(6), address.packed)


def encode_announcement(mac: bytes, address: IPv4Address) -> bytes:
    """An ARP announcement (RFC 5227 section 1.1): a request for the address that the sender has."""
    return _ARP.pack(*_ETHERNET_IPV4, _REQUEST, mac, address.packed, bytes(6), address.packed)


def decode(data: bytes) -> ArpPacket:
    """The packet in a frame's payload. Raises BadPacket."""
    if len(data) < _ARP.size:
        raise BadPacket(f"an ARP packet of {len(data)} bytes")
    *kind, _operation, mac, sender, _, target = _ARP.unpack_from(data)
    if tuple(kind) != _ETHERNET_IPV4:
        raise BadPacket("an ARP packet for another kind of network")
    return ArpPacket(mac_text(mac), IPv4Address(sender), IPv4Address(target))


def _open_error(error: OSError, interface: str) -> NetworkFailed | Refused:
    if error.errno in (errno.EPERM, errno.EACCES):
        return Refused("looking for addresses in use needs root", hint="start the server as root")
    return NetworkFailed(f"{interface}: ARP cannot be heard: {error.strerror}")
