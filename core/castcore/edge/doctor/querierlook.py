"""Is there an IGMP querier? Found in seconds by leaving a group, after which a querier asks at once.

RFC 2236 section 3 and RFC 3376 section 6.4.2: on a Leave the querier asks whether anybody is left in the
group. That question goes to the group itself, so a packet socket hears it (packet(7)).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable

from castcore.cast.membership import Querier, is_igmp_query
from castcore.doctor import Querying
from castcore.edge.cast.querier import QuerierListener
from castcore.edge.net.interface import Interface
from castcore.errors import BadPacket, NetworkFailed

# In our own range (RFC 2365, organization-local), used by nothing else.
GROUP = "239.192.70.71"
JOINED_SECONDS = 1.0
_ETH_P_IP = 0x0800
_LARGEST = 2048
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_MR_MULTICAST = 263, 1, 0
_PACKET_OUTGOING = 4
# struct packet_mreq: interface, type, length of the address, address
_PACKET_MREQ = struct.Struct("=iHH8s")
_IP_MREQN = struct.Struct("=4s4si")


def look_for_querier(interface: Interface, seconds: float) -> Querying:
    """Listen for ``seconds`` (2 at least) on ``interface``, over IPv4 after leaving a group once.

    Returns at once when a querier is heard. Raises NetworkFailed, also without the right to raw sockets.
    """
    seconds = max(seconds, 2 * JOINED_SECONDS)
    if interface.family is socket.AF_INET6:
        return _listened(interface, seconds)
    try:
        with _ear(interface) as ear:
            end = time.monotonic() + seconds
            with _member(interface):
                heard = _hears(ear, min(end, time.monotonic() + JOINED_SECONDS))
            return Querying(heard or _hears(ear, end), seconds, provoked=True)
    except OSError as error:
        raise NetworkFailed(
            f"cannot listen for a querier on {interface.name}: {error.strerror}",
            hint="run this as root",
        ) from None


def _listened(interface: Interface, seconds: float) -> Querying:
    listener = QuerierListener(interface, lambda _: None)
    try:
        heard = _until(lambda: listener.verdict() is Querier.SEEN, seconds)
    finally:
        listener.close()
    return Querying(heard, seconds, provoked=False)


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def _ear(interface: Interface) -> socket.socket:
    """Hears IPv4 packets of the interface, those to GROUP and to all hosts included."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
    try:
        made.bind((interface.name, _ETH_P_IP))
        mac = _group_mac(GROUP)
        wanted = _PACKET_MREQ.pack(interface.index, _PACKET_MR_MULTICAST, len(mac), mac)
        made.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, wanted)
    except BaseException:
        made.close()
        raise
    return made


def _member(interface: Interface) -> socket.socket:
    """A member of GROUP, until it is closed."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        wanted = _IP_MREQN.pack(socket.inet_aton(GROUP), bytes(4), interface.index)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, wanted)
    except BaseException:
        made.close()
        raise
    return made


def _hears(ear: socket.socket, end: float) -> bool:
    """Whether a query of somebody else comes before ``end``."""
    while (left := end - time.monotonic()) > 0:
        ear.settimeout(left)
        with contextlib.suppress(TimeoutError, BadPacket):
            packet, (_, _, kind, *_) = ear.recvfrom(_LARGEST)
            igmp = len(packet) > 9 and packet[9] == socket.IPPROTO_IGMP
            if igmp and kind != _PACKET_OUTGOING and is_igmp_query(packet):
                return True
    return False


def _group_mac(group: str) -> bytes:
    """The Ethernet address of a group (RFC 1112, 6.4)."""
    low = int.from_bytes(socket.inet_aton(group), "big") & 0x7FFFFF
    return b"\x01\x00\x5e" + low.to_bytes(3, "big")
