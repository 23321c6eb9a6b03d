"""The IPv4 addresses of this machine, and which of them are leased, from the kernel (rtnetlink(7))."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

# linux/rtnetlink.h, linux/netlink.h, linux/if_addr.h
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST_DUMP = 0x1 | 0x300
_IFA_LOCAL, _IFA_FLAGS = 2, 8
_IFA_F_PERMANENT = 0x80
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ADDRESS = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, interface index
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_MOST = 1 << 17


@dataclass(frozen=True)
class OwnAddress:
    """One address of the interface with number ``index``.

    ``leased``: it will end unless it is renewed, as DHCP clients set up what they were given.
    """

    index: int
    address: str
    leased: bool


def own_addresses() -> tuple[OwnAddress, ...]:
    """Every address of every interface; none when the kernel does not tell."""
    request = _HEADER.pack(
        _HEADER.size + _ADDRESS.size, _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0
    ) + _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)
    found: list[OwnAddress] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            kernel.settimeout(2.0)
            kernel.sendto(request, (0, 0))
            while True:
                for kind, body in _messages(kernel.recv(_MOST)):
                    if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                        return tuple(found)
                    if kind == _RTM_NEWADDR:
                        found += _address(body)
    except (OSError, struct.error):
        return tuple(found)


def leased_address(interface: str) -> str:
    """The address of ``interface`` that some DHCP server gave it, "" when it holds none."""
    try:
        index = socket.if_nametoindex(interface)
    except OSError:
        return ""
    leased = (own.address for own in own_addresses() if own.index == index and own.leased)
    # A host gives itself a link-local address (RFC 3927).
    return next((a for a in leased if not IPv4Address(a).is_link_local), "")


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + length]
        at += max((length + 3) & ~3, _HEADER.size)


def _address(body: bytes) -> list[OwnAddress]:
    _, _, flags, _, index = _ADDRESS.unpack_from(body)
    local = b""
    at = _ADDRESS.size
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        value = body[at + _ATTRIBUTE.size : at + length]
        if kind == _IFA_LOCAL:
            local = value
        elif kind == _IFA_FLAGS:
            flags = int.from_bytes(value, sys.byteorder)
        at += max((length + 3) & ~3, _ATTRIBUTE.size)
    if len(local) != 4:
        return []
    return [OwnAddress(index, str(IPv4Address(local)), leased=not flags & _IFA_F_PERMANENT)]
