"""DHCP packets on the wire and our frozen values; scapy writes headers, and goes no further than here.

Every packet of a network is read, hostile ones too, so reading is ours: the fixed BOOTP header (RFC 951,
RFC 2131 section 2) here, the options field in :mod:`castcore.boot.options`, which knows option overload
and RFC 3396.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from scapy.layers.dhcp import BOOTP

from castcore.boot.message import (
    ETHERNET,
    MAC_BYTES,
    DhcpReply,
    DhcpRequest,
    mac_bytes,
    mac_text,
    read_options,
)
from castcore.boot.options import Option, encode_options, parse_options
from castcore.errors import BadPacket

HEADER = 236
COOKIE = b"\x63\x82\x53\x63"
BOOTREQUEST, BOOTREPLY = 1, 2
BROADCAST_FLAG = 0x8000
FILE_FIELD = 128
# PXE 2.1 section 2.2.1: no more than an Ethernet frame; real messages have 300 to 600 bytes.
LARGEST = 1500
# op, htype, hlen, hops, xid, secs, flags, ciaddr, (yiaddr, siaddr), giaddr, the MAC in chaddr
_HEADER = struct.Struct("!4BIHH4s8x4s6s")


def decode(data: bytes) -> DhcpRequest:
    """The request in a datagram. Raises BadPacket, whatever the bytes are."""
    if not HEADER + len(COOKIE) <= len(data) <= LARGEST:
        raise BadPacket(f"a DHCP packet of {len(data)} bytes")
    if data[HEADER : HEADER + len(COOKIE)] != COOKIE:
        raise BadPacket("a BOOTP packet without DHCP's magic cookie")
    op, htype, hlen, hops, xid, secs, flags, ciaddr, giaddr, chaddr = _HEADER.unpack_from(data)
    if op != BOOTREQUEST or htype != ETHERNET or hlen != MAC_BYTES or hops > 16:
        raise BadPacket(
            f"not a request from Ethernet (op {op}, htype {htype}, hlen {hlen}, hops {hops})"
        )
    if chaddr == bytes(MAC_BYTES) or chaddr[0] & 1:
        raise BadPacket(f"the hardware address {mac_text(chaddr)} is not one machine's")
    for name, raw in (("ciaddr", ciaddr), ("giaddr", giaddr)):
        if not _is_one_machines(IPv4Address(raw)):
            raise BadPacket(f"{name} {IPv4Address(raw)} is no address of one machine")
    options = parse_options(data[HEADER + len(COOKIE) :], file=data[108:HEADER], sname=data[44:108])
    return read_options(
        options,
        xid=xid,
        mac=mac_text(chaddr),
        secs=secs,
        broadcast=bool(flags & BROADCAST_FLAG),
        ciaddr=IPv4Address(ciaddr),
        giaddr=IPv4Address(giaddr),
    )


def _is_one_machines(address: IPv4Address) -> bool:
    """Whether an answer may go there: not to groups, everybody or ourselves. 0.0.0.0: no address.

    RFC 1542 section 4.1.1 lets relays drop such; RFC 1122 section 3.2.1.3 has the addresses.
    """
    return not (address.is_multicast or address.is_loopback or address.is_reserved)


def encode(reply: DhcpReply) -> bytes:
    """The datagram of a reply. ValueError when its file name is too long for the BOOTP field."""
    file = reply.file.encode()
    if len(file) >= FILE_FIELD:
        raise ValueError(f"the boot file name {reply.file!r} does not fit the BOOTP file field")
    header = BOOTP(
        op=BOOTREPLY,
        htype=ETHERNET,
        hlen=MAC_BYTES,
        xid=reply.xid,
        flags=BROADCAST_FLAG if reply.broadcast else 0,
        ciaddr=str(reply.ciaddr),
        yiaddr=str(reply.yiaddr),
        siaddr=str(reply.siaddr),
        giaddr=str(reply.giaddr),
        chaddr=mac_bytes(reply.mac),
        file=file,
        options=COOKIE,
    )
    kind = (int(Option.MESSAGE_TYPE), bytes([reply.message_type]))
    return bytes(header) + encode_options([kind, *reply.options])
