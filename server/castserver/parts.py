"""The parts of one server, put together: what routes and commands are given."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property

from castserver.accounts.auth import Auth
from castserver.api.liveboards import LiveBoards
from castserver.api.livestate import LiveState
from castserver.api.views import CastView, StateView, cast_view, state_view
from castserver.audit.auditlog import AuditLog
from castserver.captures.captures import Captures
from castserver.casts.castrates import CastRates, RateSample
from castserver.casts.casts import Casts
from castserver.casts.policy import CastState
from castserver.history.history import History
from castserver.images.imagekeeping import ImageKeeper
from castserver.images.library import Library
from castserver.licences.licenceuses import LicenceUses
from castserver.licences.licenceviews import ledger_views
from castserver.logs.machinelogs import MachineLogs
from castserver.machines.approvals import Approvals
from castserver.machines.clients import Clients
from castserver.machines.reportpace import ReportPace
from castserver.media.media import Media
from castserver.netboot.booting import Booting
from castserver.netboot.bootonce import BootOnce
from castserver.netboot.bootwatch import BootWatch
from castserver.netboot.leasebook import LeaseBook
from castserver.servetold import Told


@dataclass(frozen=True)
class ServerParts:
    """Everything behind the API; ``statement`` is the server's signed word of who it is,
    ``told`` what it was told at its start.
    """

    name: str
    statement: bytes
    auth: Auth
    audit: AuditLog
    clients: Clients
    casts: Casts
    library: Library
    boots: BootWatch
    booting: Booting
    leases: LeaseBook
    once: BootOnce
    logs: MachineLogs
    captures: Captures
    media: Media
    approvals: Approvals
    history: History
    images: ImageKeeper
    licence_uses: LicenceUses
    told: tuple[Told, ...] = ()
    stopping: threading.Event = field(default_factory=threading.Event)
    rates: CastRates = field(default_factory=CastRates)

    @cached_property
    def boards(self) -> LiveBoards:
        """The live pages that consoles show."""
        return LiveBoards(self.clients.changed)

    def state(self) -> StateView:
        """Everything live, of one moment."""
        licences = ledger_views(self.casts.licensing)
        with self.clients.lock:
            return state_view(
                self.clients,
                self.casts.all(),
                self.boots,
                self.booting.state(),
                self.once,
                self.captures.all(),
                self.media.now,
                licences,
            )

    @cached_property
    def pace(self) -> ReportPace:
        """How often clients are to report."""
        return ReportPace(self.clients)

    @cached_property
    def live(self) -> LiveState:
        """What :meth:`state` tells, for all who listen."""
        return LiveState(self.state, self.clients.changed)

    def room(self, cast: str) -> tuple[CastView, tuple[RateSample, ...]]:
        """One cast as it stands, and how fast it went. Raises NotFound."""
        with self.clients.lock:
            return cast_view(self.casts.get(cast), self.clients), self.rates.of(cast)

    def note_rates(self) -> None:
        """Once a second: how fast the casts that run go."""
        running = [c for c in self.casts.all() if c.state is CastState.RUNNING]
        found = [(c.id, run.status()) for c in running if (run := c.run) is not None]
        self.rates.note((cast, status) for cast, status in found if status is not None)

    def wake(self) -> None:
        """Let every request that waits look again (at ``stopping``, for one)."""
        self.clients.changed.fire()
        for client in self.clients.all():
            client.signal.fire()

    def stop(self) -> None:
        """Stop checks and senders, and let uploads lie, when no request comes any more."""
        self.images.stop()
        self.casts.close()
        self.captures.uploads.close()
