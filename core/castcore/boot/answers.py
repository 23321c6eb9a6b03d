"""Replies made of a request, and where they are sent (RFC 2131 sections 4.1 and 4.3)."""

from __future__ import annotations

from ipaddress import IPv4Address

from castcore.boot.bootclient import BootInfo
from castcore.boot.message import UNSPECIFIED, DhcpReply, DhcpRequest, MessageType
from castcore.boot.options import Option

SERVER_PORT = 67
CLIENT_PORT = 68
PXE_PORT = 4011
BROADCAST = IPv4Address("255.255.255.255")


def reply_to(
    request: DhcpRequest,
    kind: MessageType,
    server: IPv4Address,
    *,
    info: BootInfo | None = None,
    yiaddr: IPv4Address = UNSPECIFIED,
    options: tuple[tuple[int, bytes], ...] = (),
) -> DhcpReply:
    """A reply to ``request`` from ``server``, with the boot ``info`` if there is any.

    siaddr and file go into the BOOTP fields, where shim and GRUB read them, and not only into options.
    """
    relay = request.giaddr != UNSPECIFIED
    # A relay hands a reply on to the address in it, so one without any must be broadcast there: a NAK
    # (RFC 2131 table 3) and all that a proxy says (RFC 1542 section 5.4 knows no proxies).
    homeless = yiaddr == UNSPECIFIED and request.ciaddr == UNSPECIFIED
    relayed = (
        ((Option.RELAY_INFORMATION, request.relay_information),) if request.relay_information else ()
    )
    return DhcpReply(
        message_type=kind,
        xid=request.xid,
        mac=request.mac,
        broadcast=request.broadcast or (relay and (homeless or kind is MessageType.NAK)),
        ciaddr=request.ciaddr if kind is MessageType.ACK else UNSPECIFIED,
        yiaddr=yiaddr,
        siaddr=info.siaddr if info else UNSPECIFIED,
        giaddr=request.giaddr,
        file=info.file if info else "",
        options=(
            (Option.SERVER_ID, server.packed),
            *options,
            *(info.options if info else ()),
            *relayed,
        ),
    )


def destination(reply: DhcpReply, source: tuple[str, int], port: int) -> tuple[str, int]:
    """Address and port to send ``reply`` to, given the request's ``source`` and the ``port`` it came to.

    A machine without an address is always broadcast to, whatever its broadcast flag: reaching it
    otherwise needs a hand-made Ethernet frame, and every client accepts a broadcast.
    """
    if port == PXE_PORT:
        # PXE 2.1 section 2.2.3: the answer goes to the port that asked, which firmware varies.
        known = reply.ciaddr if reply.ciaddr != UNSPECIFIED else IPv4Address(source[0])
        return (str(known if known != UNSPECIFIED else BROADCAST), source[1])
    if reply.giaddr != UNSPECIFIED:
        return (str(reply.giaddr), SERVER_PORT)
    if reply.ciaddr != UNSPECIFIED and reply.message_type is not MessageType.NAK:
        return (str(reply.ciaddr), CLIENT_PORT)
    return (str(BROADCAST), CLIENT_PORT)
