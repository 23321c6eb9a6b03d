"""Does a group's traffic still reach this host? Seen at the link, below the host's own group filter.

A host that left a group drops its datagrams unseen, and its network card may drop them before; a packet
socket with ALLMULTI (packet(7)) sees whatever the switch still sends to this port.
"""

from __future__ import annotations

import socket
import struct
import time

from castcore.edge.net.interface import Interface

LOOK_SECONDS = 0.25
# Beacons alone are no flood; this is 0.4 MB/s.
FLOOD_BYTES = 100_000
_ETH_P_ALL = 0x0003
_PACKET_MULTICAST = 2
_SOL_PACKET, _ADD_MEMBERSHIP, _ALLMULTI = 263, 1, 2
# struct packet_mreq: interface index, type, address length, address
_MREQ = struct.Struct("=iHH8s")
_HEADER = 40


def flooded(interface: Interface, group: str, seconds: float = LOOK_SECONDS) -> bool:
    """Whether ``group``'s data arrives at ``interface`` now; looks for at most ``seconds``.

    False also when this process may not look (it needs CAP_NET_RAW).
    """
    wanted = _packed(group)
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL)) as link:
            link.bind((interface.name, _ETH_P_ALL))
            link.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, _MREQ.pack(interface.index, _ALLMULTI, 0, b""))
            return _look(link, wanted, time.monotonic() + seconds)
    except OSError:
        return False


def _look(link: socket.socket, wanted: bytes, until: float) -> bool:
    seen = 0
    buffer = bytearray(_HEADER)
    while seen < FLOOD_BYTES:
        left = until - time.monotonic()
        if left <= 0:
            return False
        link.settimeout(left)
        try:
            size, address = link.recvfrom_into(buffer, _HEADER, socket.MSG_TRUNC)
        except TimeoutError:
            return False
        if address[2] == _PACKET_MULTICAST and destination(buffer) == wanted:
            seen += size
    return True


def destination(header: bytes | bytearray) -> bytes:
    """The packed destination address of the IP packet that begins so; empty when it is none."""
    version = header[0] >> 4
    if version == 4:
        return bytes(header[16:20])
    return bytes(header[24:40]) if version == 6 else b""


def _packed(address: str) -> bytes:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_pton(family, address)
