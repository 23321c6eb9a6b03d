"""What is asked to find the DHCP and PXE servers of a network, and what answers tell of them.

Everything is a whole Ethernet frame, in and out: so it works on an interface with any address or none,
and port 68 stays the host's own (RFC 2131, PXE 2.1 section 2.2).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from castcore.boot.answers import CLIENT_PORT, PXE_PORT, SERVER_PORT
from castcore.boot.bootclient import HTTP_CLASS, PXE_CLASS
from castcore.boot.frames import BROADCAST_MAC, Datagram, encode_frame, parse_frame
from castcore.boot.message import LOOKING_CLASS, UNSPECIFIED, MessageType, mac_bytes, mac_text
from castcore.boot.options import Option, encode_options, parse_options, pieces
from castcore.errors import BadPacket

# op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, cookie
_BOOTP = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE = b"\x63\x82\x53\x63"
_REQUEST, _REPLY = 1, 2
_BROADCAST_FLAG = 0x8000
_LONGEST_NAME = 64
_BOOT_CLASSES = (PXE_CLASS.encode(), HTTP_CLASS.encode())
# What any BIOS says of itself: architecture 0, UNDI 2.1. Every PXE server knows it.
_PXE_CLIENT = b"PXEClient:Arch:00000:UNDI:002001"
_WANTED = bytes(
    (
        Option.SUBNET_MASK,
        Option.ROUTER,
        Option.VENDOR_SPECIFIC,
        Option.SERVER_ID,
        Option.VENDOR_CLASS,
        Option.TFTP_SERVER_NAME,
        Option.BOOT_FILE,
    )
)


@dataclass(frozen=True)
class FoundServer:
    """A DHCP or PXE server; ``mac`` and ``name`` are "" when unknown.

    ``pxe``: it gives boot information. ``dhcp``: it gives addresses.
    """

    address: str
    mac: str
    name: str
    pxe: bool = False
    dhcp: bool = True

    @property
    def label(self) -> str:
        """Who it is, for people."""
        more = ", ".join(filter(None, (self.name, self.mac)))
        return f"{self.address} ({more})" if more else self.address


@dataclass(frozen=True)
class Hearsay:
    """A message that tells of a server: sent by it, or by the ``client`` (MAC) that chose it."""

    server: FoundServer
    kind: MessageType
    xid: int
    client: str


def discover(mac: str, xid: int, *, pxe: bool) -> bytes:
    """The frame of a DISCOVER from ``mac``; ``pxe``: as a machine that boots from the network."""
    options = [(int(Option.PARAMETER_LIST), _WANTED)]
    message = _request(MessageType.DISCOVER, mac, xid, UNSPECIFIED, options, pxe=pxe)
    everybody = Datagram(mac, BROADCAST_MAC, "0.0.0.0", "255.255.255.255", CLIENT_PORT, SERVER_PORT)
    return encode_frame(everybody, message)


def boot_server_request(mac: str, address: str, xid: int, server: FoundServer) -> bytes:
    """The frame by which ``address`` asks port 4011 of ``server`` for a boot file."""
    message = _request(MessageType.REQUEST, mac, xid, IPv4Address(address), [], pxe=True)
    return encode_frame(
        Datagram(mac, server.mac, address, server.address, CLIENT_PORT, PXE_PORT), message
    )


def hearsay(frame: bytes) -> Hearsay | None:
    """What ``frame`` tells of a server, None when nothing. Raises BadPacket, whatever the bytes are."""
    datagram, payload = parse_frame(frame)
    if len(payload) < _BOOTP.size:
        raise BadPacket(f"a DHCP packet of {len(payload)} bytes")
    fields = _BOOTP.unpack_from(payload)
    if fields[-1] != _COOKIE or fields[0] not in (_REQUEST, _REPLY):
        raise BadPacket("not a DHCP packet")
    xid, yiaddr, client = fields[4], IPv4Address(fields[8]), mac_text(fields[11][:6])
    field, sname, file = payload[_BOOTP.size :], fields[12], fields[13]
    options = parse_options(field, file=file, sname=sname)
    code = options.get(Option.MESSAGE_TYPE, b"")
    if len(code) != 1 or code[0] not in list(MessageType):
        raise BadPacket("a BOOTP message without a known DHCP message type")
    kind = MessageType(code[0])
    if fields[0] == _REQUEST:
        # One that came through a relay chose among the servers of another network.
        relayed = any(fields[10])
        server = None if relayed else _chosen(kind, datagram, options)
    else:
        names = (b"", b"") if _overloaded(field) else (sname.rstrip(b"\0"), file.rstrip(b"\0"))
        server = _answering(kind, datagram, yiaddr, names, options)
    return None if server is None else Hearsay(server, kind, xid, client)


def _answering(
    kind: MessageType,
    datagram: Datagram,
    yiaddr: IPv4Address,
    names: tuple[bytes, bytes],
    options: dict[int, bytes],
) -> FoundServer | None:
    """The server behind an OFFER, ACK or NAK; ``names`` are its own and the boot file's."""
    if kind not in (MessageType.OFFER, MessageType.ACK, MessageType.NAK):
        return None
    sname, file = names
    vendor = options.get(Option.VENDOR_CLASS, b"")
    boots = vendor.startswith(_BOOT_CLASSES) or bool(options.get(Option.BOOT_FILE) or file)
    leases = yiaddr != UNSPECIFIED or kind is MessageType.NAK
    return FoundServer(
        _server_id(options) or datagram.source,
        datagram.source_mac,
        _text(sname or options.get(Option.TFTP_SERVER_NAME, b"")),
        pxe=boots,
        # An ACK without an address answers an INFORM, or comes from a boot server.
        dhcp=leases or (kind is MessageType.ACK and not boots),
    )


def _chosen(kind: MessageType, datagram: Datagram, options: dict[int, bytes]) -> FoundServer | None:
    """The server that a client's broadcast REQUEST chose: its OFFER may have reached that one alone."""
    chosen = _server_id(options)
    if kind is not MessageType.REQUEST or datagram.port != SERVER_PORT or not chosen:
        return None
    return FoundServer(chosen, "", "")


def _overloaded(field: bytes) -> bool:
    """Whether sname or file hold options instead of names."""
    return any(code == Option.OVERLOAD for code, _ in pieces(field))


def _request(
    kind: MessageType,
    mac: str,
    xid: int,
    ciaddr: IPv4Address,
    options: list[tuple[int, bytes]],
    *,
    pxe: bool,
) -> bytes:
    flags = 0 if int(ciaddr) else _BROADCAST_FLAG
    nobody = UNSPECIFIED.packed
    header = (_REQUEST, 1, 6, 0, xid, 0, flags, ciaddr.packed, nobody, nobody, nobody)
    first = [(int(Option.MESSAGE_TYPE), bytes([kind])), *options]
    if pxe:
        first += [
            (Option.VENDOR_CLASS, _PXE_CLIENT),
            (Option.USER_CLASS, LOOKING_CLASS),
            (Option.ARCHITECTURE, b"\0\0"),
            (Option.NETWORK_INTERFACE, b"\1\2\1"),
            # A GUID of this MAC address alone; type 0 (RFC 4578 section 2.3).
            (Option.MACHINE_ID, b"\0" + bytes(10) + mac_bytes(mac)),
        ]
    return _BOOTP.pack(*header, mac_bytes(mac), b"", b"", _COOKIE) + encode_options(first)


def _server_id(options: dict[int, bytes]) -> str:
    value = options.get(Option.SERVER_ID, b"")
    return str(IPv4Address(value)) if len(value) == 4 and any(value) else ""


def _text(value: bytes) -> str:
    """A name from the network, safe to print."""
    text = value[:_LONGEST_NAME].decode("ascii", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)
