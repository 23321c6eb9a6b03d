"""The simple DHCP server of one interface, for networks without any."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from ipaddress import IPv4Address

from castcore.boot import (
    PXE_PORT,
    SERVER_PORT,
    ArpPacket,
    BootEvent,
    BootPlace,
    BootPolicy,
    BootStage,
    DhcpRequest,
    LeaseStore,
    LeaseTable,
    Pool,
    Probation,
    Verdict,
    dhcp_decide,
)
from castcore.boot.simpledhcp import in_use
from castcore.edge.net.arp import ArpSocket
from castcore.edge.net.bootsockets import BroadcastSocket
from castcore.errors import BadPacket, FleetcastError

from castserver.services.dhcplistener import BATCH, Asked, DhcpListener
from castserver.services.wallclock import WallClock

log = logging.getLogger(__name__)

# Probes and the offers that wait for them are looked at so often.
STEP_SECONDS = 0.1


class SimpleDhcp(DhcpListener):
    """Leases addresses of ``pool`` and gives boot information in the same answers.

    An address is offered when nobody has answered for it. Leases are kept in ``store`` before they are
    acknowledged. Raises NotFound (interface), PortTaken, Refused (not root), NetworkFailed, DiskFailed.
    """

    def __init__(
        self,
        interface: str,
        place: BootPlace,
        policy: BootPolicy,
        pool: Pool,
        on_event: Callable[[BootEvent], None],
        store: LeaseStore,
        meet: Callable[[DhcpRequest], None] = lambda _: None,
    ) -> None:
        self._store, self._clock = store, WallClock()
        self._table = LeaseTable(pool, store.rules, store.kept(), self._clock.now())
        self._probation = Probation()
        self._waiting: dict[IPv4Address, tuple[Asked, Verdict]] = {}
        self._keeping = True

        def decide(request: DhcpRequest, port: int) -> Verdict:
            return dhcp_decide(request, port, place, policy, self._table, self._clock.now())

        with contextlib.ExitStack() as undo:
            ports = []
            for number in (SERVER_PORT, PXE_PORT):
                ports.append(BroadcastSocket(interface, str(place.address), number))
                undo.callback(ports[-1].close)
            self._arp = ArpSocket(interface)
            undo.pop_all()
        super().__init__(
            interface,
            place.address,
            ports,
            decide,
            on_event,
            meet=meet,
            tick=self._step,
            tick_seconds=STEP_SECONDS,
        )
        self.loop.add(self._arp, self._hear)

    def stop(self) -> None:
        """Stop answering and free the ports."""
        super().stop()
        self._arp.close()

    def settle(self, asked: Asked, verdict: Verdict) -> None:
        """An answer waits for the proof of its address; a repeated request takes its place."""
        if not verdict.probe or verdict.reply is None:
            super().settle(asked, verdict)
            return
        address = verdict.reply.yiaddr
        self._waiting[address] = asked, verdict
        if self._probation.begin(address, asked.request.mac, time.monotonic()):
            self._probe(address)

    def flush(self) -> None:
        """Keep what changed, then send."""
        self._keep()
        super().flush()

    def _step(self) -> None:
        stepped = self._clock.stepped()
        if stepped:
            self._table.shift(stepped)
        again, proven = self._probation.step(time.monotonic())
        for address in again:
            self._probe(address)
        for probing in proven:
            asked, verdict = self._waiting.pop(probing.address)
            if self._table.proven(probing.mac, probing.address, self._clock.now()):
                super().settle(asked, verdict)
        self.flush()

    def _hear(self) -> None:
        # OSError: nothing is left to read, or the link went down, and with it whoever would answer.
        with contextlib.suppress(OSError):
            for _ in range(BATCH):
                with contextlib.suppress(BadPacket):
                    self._heard(self._arp.receive())
        self.flush()

    def _heard(self, packet: ArpPacket) -> None:
        ended = self._probation.heard(packet)
        if ended is None:
            return
        asked, _ = self._waiting.pop(ended.address)
        event = in_use(ended.mac, ended.address, packet.sender_mac, self._table, self._clock.now())
        if event is not None:
            self.on_event(event)
            self.handle(asked)  # which gets another address

    def _probe(self, address: IPv4Address) -> None:
        try:
            self._arp.probe(address)
        except OSError as error:
            log.warning("an ARP probe for %s was not sent: %s", address, error)

    def _keep(self) -> None:
        changed, gone = self._table.take_changes()
        if not changed and not gone:
            return
        try:
            self._store.keep(changed, gone)
            self._keeping = True
        except FleetcastError as error:
            # Machines boot all the same: after a restart the probes find who has which address.
            if self._keeping:
                self.on_event(BootEvent("", BootStage.FAILED, f"leases are not kept: {error.what}"))
            self._keeping = False
