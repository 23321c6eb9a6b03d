"""A UDP port of one interface, heard and answered from without being held.

A DHCP server on our own host keeps its port 67, hears everything as before, and can be started after us.
Sharing the port by SO_REUSEADDR cannot do that: see BOOTING.md.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

from castcore.edge.net.bootsockets import (
    IP_PKTINFO,
    LARGEST_DATAGRAM,
    RECEIVE_BUFFER,
    interface_index,
    packet_info,
)
from castcore.errors import BadPacket, NetworkFailed, Refused

# asm-generic/socket.h and linux/filter.h; a filter is instructions of (code, jump true, false, value).
_SO_ATTACH_FILTER = 26
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_HEADER_LENGTH, _LOAD_PORT, _IF_EQUAL, _RETURN = 0xB1, 0x48, 0x15, 0x06
_UDP = struct.Struct("!HHHH")  # RFC 768: source and destination port, length, checksum
_SMALLEST_IP = 20


class TappedPort:
    """Datagrams to ``port`` that reach ``interface``; answers leave from ``address`` and that port.

    The kernel still does IP: fragments, VLANs, routes, ARP and packet filters are its own.
    Raises NotFound (no such interface), Refused (no right to raw sockets), NetworkFailed.
    """

    def __init__(self, interface: str, address: str, port: int) -> None:
        self.port = port
        self._address = socket.inet_aton(address)
        self._info = packet_info(interface_index(interface), address)
        try:
            self._socket = socket.socket(
                socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_UDP
            )
        except OSError as error:
            raise _open_error(error, interface, port) from None
        try:
            # First the filter: without it every datagram of the host would be copied to us.
            _attach(self._socket, _port_filter(port))
            self._socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0"
            )
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        except OSError as error:
            self._socket.close()
            raise _open_error(error, interface, port) from None

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def receive(self) -> tuple[bytes, tuple[str, int]]:
        """One datagram and its sender. Raises BlockingIOError when there is none, BadPacket."""
        packet, (source, _) = self._socket.recvfrom(LARGEST_DATAGRAM)
        port, data = payload(packet, self.port)
        return data, (source, port)

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        """Send one datagram. Raises OSError."""
        host, port = to
        datagram = udp_datagram(self._address, self.port, socket.inet_aton(host), port, data)
        ancillary = [(socket.IPPROTO_IP, IP_PKTINFO, self._info)]
        self._socket.sendmsg([datagram], ancillary, 0, (host, 0))

    def close(self) -> None:
        """Hear nothing more."""
        self._socket.close()


def payload(packet: bytes, wanted: int) -> tuple[int, bytes]:
    """The source port and the payload of the UDP datagram to port ``wanted`` in an IPv4 packet.

    Raises BadPacket. Its checksum is not looked at: it is not made yet for a packet that never leaves
    the host, and what is in it is checked anyway.
    """
    header = (packet[0] & 0x0F) * 4 if packet else 0
    if header < _SMALLEST_IP or len(packet) < header + _UDP.size:
        raise BadPacket(f"an IP packet of {len(packet)} bytes with a header of {header}")
    source, port, length, _ = _UDP.unpack_from(packet, header)
    datagram = packet[header : header + length]
    if port != wanted or length < _UDP.size or len(datagram) < length:
        raise BadPacket(f"a UDP datagram of {len(datagram)} bytes to port {port} that says {length}")
    return source, datagram[_UDP.size :]


def udp_datagram(source: bytes, sport: int, to: bytes, dport: int, data: bytes) -> bytes:
    """A UDP header with its checksum (RFC 768), and ``data``; addresses are four bytes."""
    length = _UDP.size + len(data)
    header = _UDP.pack(sport, dport, length, 0)
    pseudo = source + to + struct.pack("!HH", socket.IPPROTO_UDP, length)
    # 0 would mean that there is no checksum.
    checksum = _ones_complement(pseudo + header + data) or 0xFFFF
    return _UDP.pack(sport, dport, length, checksum) + data


def _ones_complement(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _port_filter(port: int) -> bytes:
    """Classic BPF over an IPv4 packet that holds UDP: whole if it goes to ``port``, else nothing."""
    program = (
        (_LOAD_HEADER_LENGTH, 0, 0, 0),
        (_LOAD_PORT, 0, 0, 2),
        (_IF_EQUAL, 0, 1, port),
        (_RETURN, 0, 0, LARGEST_DATAGRAM),
        (_RETURN, 0, 0, 0),
    )
    return b"".join(_INSTRUCTION.pack(*words) for words in program)


def _attach(sock: socket.socket, program: bytes) -> None:
    held = ctypes.create_string_buffer(program, len(program))
    count = len(program) // _INSTRUCTION.size
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", count, ctypes.addressof(held))
    )


def _open_error(error: OSError, interface: str, port: int) -> NetworkFailed | Refused:
    if error.errno in (errno.EPERM, errno.EACCES):
        return Refused(
            f"hearing UDP port {port} beside its holder needs root", hint="start the server as root"
        )
    return NetworkFailed(f"UDP port {port} on {interface} cannot be heard: {error.strerror}")
