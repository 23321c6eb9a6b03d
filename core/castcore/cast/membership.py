"""Is there a querier? A switch that snoops forgets who listens to a group when nobody asks.

IGMP (RFC 2236, RFC 3376) and MLD (RFC 2710, RFC 3810) queries are recognised, and written: one version
2 (MLD: 1) General Query, which newer hosts answer as well.
"""

from __future__ import annotations

from enum import Enum

from castcore.errors import BadPacket

IGMP_QUERY = 0x11
MLD_QUERY = 130
_IGMP_SIZE, _MLD_SIZE = 8, 24
_IPV4_HEADER_MIN = 20

# RFC 3376, 8.2: queriers ask every 125 s; a little more, and one that is there has asked.
WATCH_SECONDS = 130.0
# RFC 3376, 8.3, in tenths of a second, and what follows from it.
RESPONSE_TENTHS = 100
QUERY_SECONDS = 60.0
# RFC 3376, 8.5: a querier that was silent so long is gone.
OTHER_QUERIER_SECONDS = 255.0


class Querier(Enum):
    """What is known of a querier in this network. The value is the word people read."""

    WATCHING = "watching"
    SEEN = "seen"
    NONE = "none"


class QuerierWatch:
    """Counts queries from ``started`` on; times are seconds of the caller's clock."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._heard: float | None = None

    def heard(self, now: float) -> None:
        """Somebody asked."""
        self._heard = now

    def verdict(self, now: float) -> Querier:
        """What is known at ``now``."""
        if self._heard is not None:
            return Querier.SEEN if now - self._heard <= OTHER_QUERIER_SECONDS else Querier.NONE
        return Querier.WATCHING if now - self._started < WATCH_SECONDS else Querier.NONE


def is_igmp_query(packet: bytes) -> bool:
    """Whether an IPv4 packet, as a raw socket gives it, is an IGMP query. Raises BadPacket."""
    if len(packet) < _IPV4_HEADER_MIN or packet[0] >> 4 != 4:
        raise BadPacket("not an IPv4 packet")
    body = packet[(packet[0] & 15) * 4 :]
    if len(body) < _IGMP_SIZE or checksum(body):
        raise BadPacket("an IGMP message that is cut short, or damaged")
    return body[0] == IGMP_QUERY


def is_mld_query(message: bytes) -> bool:
    """Whether an ICMPv6 message, as a raw socket gives it, is an MLD query. Raises BadPacket.

    The kernel has checked its sum.
    """
    if len(message) < _MLD_SIZE:
        raise BadPacket("an MLD message that is cut short")
    return message[0] == MLD_QUERY


def igmp_general_query() -> bytes:
    """The IGMPv2 General Query (RFC 2236, 2): who listens to any group?"""
    empty = bytes((IGMP_QUERY, RESPONSE_TENTHS, 0, 0)) + bytes(4)
    return empty[:2] + checksum(empty).to_bytes(2, "big") + empty[4:]


def mld_general_query() -> bytes:
    """The MLDv1 General Query (RFC 2710, 3); the kernel fills in its checksum."""
    head = bytes((MLD_QUERY, 0, 0, 0)) + (RESPONSE_TENTHS * 100).to_bytes(2, "big") + bytes(2)
    return head + bytes(16)


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071); 0 over data that holds its own."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
