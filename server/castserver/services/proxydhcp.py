"""Proxy DHCP on UDP 67 and 4011 of one interface, beside the site's own DHCP server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from castcore.boot import (
    PXE_PORT,
    SERVER_PORT,
    BootEvent,
    BootPlace,
    BootPolicy,
    BootStage,
    DhcpRequest,
    proxy_decide,
)
from castcore.edge.net.bootsockets import BroadcastSocket
from castcore.edge.net.tappedport import TappedPort
from castcore.errors import PortTaken, Refused

from castserver.services.dhcplistener import DhcpListener, DhcpPort


class ProxyDhcp(DhcpListener):
    """Offers boot information, never an address.

    Raises NotFound (no such interface), PortTaken (4011: another PXE server on this host), Refused.
    """

    def __init__(
        self,
        interface: str,
        place: BootPlace,
        policy: BootPolicy,
        on_event: Callable[[BootEvent], None],
        meet: Callable[[DhcpRequest], None] = lambda _: None,
    ) -> None:
        address = str(place.address)
        with contextlib.ExitStack() as undo:
            boot_port: DhcpPort = BroadcastSocket(interface, address, PXE_PORT)
            undo.callback(boot_port.close)
            offers, instead = _offer_port(interface, address)
            undo.pop_all()
        ports = [boot_port] if offers is None else [offers, boot_port]
        decide = partial(proxy_decide, place=place, policy=policy)
        super().__init__(interface, place.address, ports, decide, on_event, meet=meet)
        if instead:
            on_event(BootEvent("", BootStage.FAILED, instead))


def _offer_port(interface: str, address: str) -> tuple[DhcpPort | None, str]:
    """Port 67, if it can be had in any way; and what to tell the operator when it cannot.

    Tapped: a DHCP server on this host keeps it. Without the right to raw sockets it is taken if it is
    free. Else we are asked on 4011 only, by firmware that the DHCP server sends there.
    """
    with contextlib.suppress(Refused):
        return TappedPort(interface, address, SERVER_PORT), ""
    try:
        return BroadcastSocket(interface, address, SERVER_PORT), ""
    except PortTaken as error:
        return None, (
            f"{error.what}, and without the right to raw sockets (root, CAP_NET_RAW) it cannot be heard"
            f" beside it: {interface} boots machines through UDP port {PXE_PORT} only, and firmware asks"
            ' there only if the DHCP server on this host sends option 60 "PXEClient"'
        )
