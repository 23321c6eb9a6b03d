"""UDP datagrams in Ethernet frames: for what must pass an interface whatever its address (RFC 894)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from castcore.boot.message import mac_bytes, mac_text
from castcore.errors import BadPacket

BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"
ETHERTYPE_IPV4 = 0x0800
_UDP = 17
_TTL = 64
_FRAGMENT = 0x3FFF  # more fragments, or an offset (RFC 791)
# to, from, type; version and length, TOS, length, id, fragment, TTL, protocol, sum, from, to;
# source port, destination port, length, sum
_ETHERNET = struct.Struct("!6s6sH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_PORTS = struct.Struct("!HHHH")


@dataclass(frozen=True)
class Datagram:
    """The addresses of a datagram, in text; ``source_port`` to ``port``."""

    source_mac: str
    mac: str
    source: str
    address: str
    source_port: int
    port: int


def encode_frame(datagram: Datagram, payload: bytes) -> bytes:
    """The whole frame. ValueError when an address is none."""
    source, address = IPv4Address(datagram.source).packed, IPv4Address(datagram.address).packed
    length = _PORTS.size + len(payload)
    fields = (0x45, 0, _IPV4.size + length, 0, 0, _TTL, _UDP)
    header_sum = _sum(_IPV4.pack(*fields, 0, source, address))
    ports = (datagram.source_port, datagram.port, length)
    pseudo = source + address + struct.pack("!HH", _UDP, length)
    # RFC 768: a sum of 0 would say that there is none.
    udp_sum = _sum(pseudo + _PORTS.pack(*ports, 0) + payload) or 0xFFFF
    return b"".join(
        (
            _ETHERNET.pack(mac_bytes(datagram.mac), mac_bytes(datagram.source_mac), ETHERTYPE_IPV4),
            _IPV4.pack(*fields, header_sum, source, address),
            _PORTS.pack(*ports, udp_sum),
            payload,
        )
    )


def parse_frame(frame: bytes) -> tuple[Datagram, bytes]:
    """The datagram in ``frame`` and its payload. Raises BadPacket, whatever the bytes are.

    Sums are not looked at: of frames that never left this host, drivers have not made them yet.
    """
    if len(frame) < _ETHERNET.size + _IPV4.size + _PORTS.size:
        raise BadPacket(f"a frame of {len(frame)} bytes")
    to, source_mac, ethertype = _ETHERNET.unpack_from(frame)
    version, _, total, _, fragment, _, protocol, _, source, address = _IPV4.unpack_from(
        frame, _ETHERNET.size
    )
    if ethertype != ETHERTYPE_IPV4 or version >> 4 != 4 or protocol != _UDP or fragment & _FRAGMENT:
        raise BadPacket("a frame without a whole UDP datagram over IPv4")
    packet = frame[_ETHERNET.size : _ETHERNET.size + total]
    start = (version & 15) * 4
    if start < _IPV4.size or len(packet) < max(total, start + _PORTS.size):
        raise BadPacket("an IPv4 packet that is cut short")
    source_port, port, length, _ = _PORTS.unpack_from(packet, start)
    if not _PORTS.size <= length <= len(packet) - start:
        raise BadPacket(f"a UDP datagram that says {length} bytes, {len(packet) - start} are there")
    addresses = str(IPv4Address(source)), str(IPv4Address(address))
    datagram = Datagram(mac_text(source_mac), mac_text(to), *addresses, source_port, port)
    return datagram, packet[start + _PORTS.size : start + length]


def _sum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2))
    total = int(sum(words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
