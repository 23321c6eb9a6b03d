"""The simple DHCP server of one interface, for networks without any."""

from __future__ import annotations

import time
from collections.abc import Callable

from castcore.boot import (
    PXE_PORT,
    SERVER_PORT,
    BootEvent,
    BootPlace,
    BootPolicy,
    DhcpRequest,
    Lease,
    LeaseTable,
    Pool,
    Verdict,
    dhcp_decide,
)

from castserver.services.dhcplistener import DhcpListener


class SimpleDhcp(DhcpListener):
    """Leases addresses of ``pool`` and gives boot information in the same answers."""

    def __init__(
        self,
        interface: str,
        place: BootPlace,
        policy: BootPolicy,
        pool: Pool,
        on_event: Callable[[BootEvent], None],
    ) -> None:
        self._table = LeaseTable(pool)

        def decide(request: DhcpRequest, port: int) -> Verdict:
            return dhcp_decide(request, port, place, policy, self._table, time.monotonic())

        super().__init__(interface, str(place.address), (SERVER_PORT, PXE_PORT), decide, on_event)

    def leases(self) -> tuple[Lease, ...]:
        """The addresses given out now."""
        return self._table.leases(time.monotonic())
