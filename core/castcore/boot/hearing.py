"""What a machine's own packets tell of its network boot, whatever is answered to them."""

from __future__ import annotations

from ipaddress import IPv4Address

from castcore.boot.answers import PXE_PORT, SERVER_PORT
from castcore.boot.bootclient import kind_of
from castcore.boot.message import LOOKING_CLASS, UNSPECIFIED, DhcpRequest, MessageType
from castcore.boot.policy import BootEvent, BootStage


def heard(request: DhcpRequest, port: int, own: IPv4Address) -> BootEvent | None:
    """The event that a ``request`` to our ``port`` at ``own`` is; None when it is no machine that boots.

    The detail of a DISCOVER is the value of the machine's ``Kind``.
    """
    kind = kind_of(request)
    if kind is None or request.user_class == LOOKING_CLASS:
        return None
    what = request.message_type, port
    if what == (MessageType.DISCOVER, SERVER_PORT):
        return BootEvent(request.mac, BootStage.DISCOVER, kind.value)
    if what == (MessageType.REQUEST, SERVER_PORT):
        return _requested(request, own)
    asks = port == PXE_PORT and request.message_type in (MessageType.REQUEST, MessageType.INFORM)
    if not asks or request.server_id not in (UNSPECIFIED, own):
        return None
    detail = f"{kind.value}: asked port {PXE_PORT} what to load"
    return BootEvent(request.mac, BootStage.ASKED, detail, _known(request.ciaddr))


def _requested(request: DhcpRequest, own: IPv4Address) -> BootEvent:
    """It is broadcast, so that we hear whose offer it took (RFC 2131 section 3.1, step 3)."""
    wanted = request.requested if request.requested != UNSPECIFIED else request.ciaddr
    if request.server_id == UNSPECIFIED:
        whom = "its DHCP server"
    else:
        whom = "us" if request.server_id == own else f"the DHCP server {request.server_id}"
    detail = f"asked {whom} for the address {wanted}"
    return BootEvent(request.mac, BootStage.REQUESTED, detail, _known(wanted))


def _known(address: IPv4Address) -> str:
    return "" if address == UNSPECIFIED else str(address)
