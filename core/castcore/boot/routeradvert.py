"""Router discovery of booting machines: read, and answered so that they do not wait for a router.

iPXE asks for an IPv6 router beside DHCP and waits 16 s for one, whatever DHCP has brought by then. An
advertisement by which there is no router (RFC 4861 section 4.2: lifetime 0, no prefix, no DHCPv6) ends
that wait.
"""

from __future__ import annotations

import struct

from castcore.boot.message import mac_text
from castcore.errors import BadPacket

ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
HOP_LIMIT = 255  # RFC 4861 section 6.1: what has another one was forwarded and is not believed
# A machine asks for a router within the seconds of its DHCP.
BOOTING_SECONDS = 60.0
MOST_MACHINES = 1000
_HEAD = 8
_SOURCE_LINK_LAYER = 1
_MAC_OPTION = 8  # bytes, with type and length


def solicitor(message: bytes) -> str:
    """The MAC address of the machine that sent this ICMPv6 message, a Router Solicitation.

    Raises BadPacket, also for one that does not say (RFC 4861 section 4.1 leaves that open).
    """
    if len(message) < _HEAD or message[:2] != bytes((ROUTER_SOLICITATION, 0)):
        raise BadPacket("an ICMPv6 message that is no Router Solicitation")
    at = _HEAD
    while at + 2 <= len(message):
        kind, length = message[at], message[at + 1] * 8
        if length == 0 or at + length > len(message):
            raise BadPacket(f"a Router Solicitation's option {kind} says {length} bytes")
        if kind == _SOURCE_LINK_LAYER and length == _MAC_OPTION:
            return mac_text(message[at + 2 : at + 8])
        at += length
    raise BadPacket("a Router Solicitation without its sender's MAC address")


def no_router() -> bytes:
    """The Router Advertisement by which there is none; its checksum is the sending socket's affair."""
    return struct.pack("!BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0)


class BootingMachines:
    """Who is booting from the network now, by MAC address, at most `MOST_MACHINES` of them."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def note(self, mac: str, now: float) -> None:
        """The machine was told what to boot at ``now`` (seconds of any clock)."""
        self._seen.pop(mac, None)
        self._seen[mac] = now
        while len(self._seen) > MOST_MACHINES:
            del self._seen[next(iter(self._seen))]

    def is_booting(self, mac: str, now: float) -> bool:
        """Whether it was told so lately."""
        return now - self._seen.get(mac, -BOOTING_SECONDS) < BOOTING_SECONDS
