"""Proxy DHCP on UDP 67 and 4011 of one interface, beside the site's own DHCP server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from castcore.boot import PXE_PORT, SERVER_PORT, BootEvent, BootPlace, BootPolicy, proxy_decide

from castserver.services.dhcplistener import DhcpListener


class ProxyDhcp(DhcpListener):
    """Offers boot information, never an address."""

    def __init__(
        self,
        interface: str,
        place: BootPlace,
        policy: BootPolicy,
        on_event: Callable[[BootEvent], None],
    ) -> None:
        decide = partial(proxy_decide, place=place, policy=policy)
        super().__init__(interface, str(place.address), (SERVER_PORT, PXE_PORT), decide, on_event)
