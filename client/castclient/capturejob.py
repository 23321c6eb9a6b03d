"""One capture from the order to the image at the server: which disks, read, sent, made whole.

Blocking; runs in a thread of its own. Nothing on the machine's disks is changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from castcore.control import ClientState, Order
from castcore.disk import DiskFacts
from castcore.edge.disk.survey import SurveyOptions
from castcore.edge.image.capture import CaptureOptions
from castcore.edge.net.pinned import PinnedHttps
from castcore.edge.upload.capturing import capture_to_server
from castcore.errors import NotFound
from castcore.progress import Progress

from castclient import inventory
from castclient.model import CastNow, RateMeter

SHOW_SECONDS = 0.5


class CaptureJob:
    """Carries out ``order``; ``https`` is registered with the server, ``disks`` are the machine's."""

    def __init__(
        self,
        order: Order,
        https: PinnedHttps,
        *,
        disks: Callable[[], Sequence[DiskFacts]],
        show: Callable[[CastNow], None],
    ) -> None:
        self._order, self._https, self._disks, self._show = order, https, disks, show
        self._now = CastNow(order.cast, ClientState.PLANNING, image=order.image)
        self._meter = RateMeter()
        self._shown = 0.0

    def run(self) -> CastNow:
        """Do it all; the figures of its end. Raises FleetcastError; there is no image then."""
        started, order = time.monotonic(), self._order
        sources = chosen(order.disks, self._disks())
        self._enter(replace(self._now, target=", ".join(inventory.described(disk) for disk in sources)))
        options = CaptureOptions(
            survey=SurveyOptions(full_sectors=order.full_sectors, partitions=order.partitions),
            rescue=order.rescue,
        )
        done = capture_to_server(
            self._https,
            [Path(disk.path) for disk in sources],
            order.image,
            order=order.cast,
            options=options,
            progress=self._progress,
        )
        used = done.manifest.used
        self._enter(
            replace(
                self._now,
                state=ClientState.DONE,
                done=used,
                total=used,
                rate=0,
                detail="",
                image=done.manifest.name,
                root=done.manifest.index_digest.hex(),
                seconds=int(time.monotonic() - started),
            )
        )
        return self._now

    def _enter(self, now: CastNow) -> None:
        self._now, self._shown = now, time.monotonic()
        self._show(now)

    def _progress(self, progress: Progress) -> None:
        """Show how far it is, a few times a second at most, and why it waits."""
        if progress.step == "wait":
            if progress.detail != self._now.detail:
                self._enter(replace(self._now, detail=progress.detail, rate=0))
            return
        clock = time.monotonic()
        state = ClientState.CAPTURING if progress.step == "capture" else self._now.state
        rate = self._meter.mark(clock, progress.done)
        if state is self._now.state and clock - self._shown < SHOW_SECONDS:
            return
        self._enter(
            replace(
                self._now,
                state=state,
                done=progress.done,
                total=progress.total,
                rate=rate,
                detail=progress.detail,
            )
        )


def chosen(names: Sequence[str], disks: Sequence[DiskFacts]) -> list[DiskFacts]:
    """The ``disks`` with these stable ids, in the order of ``names``. Raises NotFound."""
    found = []
    for name in names:
        disk = next((one for one in disks if one.stable_id == name), None)
        if disk is None:
            raise NotFound(f"the machine has no disk {name} now", hint="check its cable")
        found.append(disk)
    return found
