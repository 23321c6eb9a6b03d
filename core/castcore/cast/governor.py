"""Holds a stream to what its group takes: the rate, judged by what clients say, and its bucket.

Sizes are bytes of UDP payload, times seconds of the caller's clock.
"""

from __future__ import annotations

import math

from castcore.cast.middle import median_low
from castcore.cast.pacing import TokenBucket
from castcore.cast.ratecontrol import SILENCE, RateControl
from castcore.cast.roster import Roster
from castcore.cast.stragglers import lags, loss_followed

# A rate so near to its cap is held by it; one below it may grow by so much until it is asked again.
HELD, HEADROOM = 0.9, 1.25
# Slow start waits so long for witnesses; older words are of another time.
GATHER_SECONDS = 1.0


class Governor:
    """One stream's rate. ``group_loss`` is what half of the group lost lately (a share)."""

    def __init__(self, cap: float, *, polite: bool) -> None:
        self.control = RateControl(cap, polite=polite)
        self.bucket = TokenBucket()
        self.group_loss = 0.0
        self._sent = self._changed_at = 0
        self._due = self._judged_at = 0.0
        self._limits = False

    def limit(self, cap: float, *, begun: bool) -> None:
        """At most ``cap`` bytes a second from now on; before it has ``begun``, it begins by that."""
        if not begun:
            self.control = RateControl(cap, polite=self.control.polite)
        self.control.limit(cap)

    def wish(self) -> float:
        """Bytes a second that it could use now if the cap let it; inf: all there are."""
        held = self.control.slow_start or self.control.rate >= HELD * self.control.cap
        return math.inf if held else HEADROOM * self.control.rate

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.control.rate

    def start(self, now: float) -> None:
        """The stream begins."""
        self._judged_at, self._sent = now, 0

    def due(self, now: float) -> bool:
        """Whether it is time to `judge`."""
        return now >= self._due

    def spend(self, size: int) -> None:
        """``size`` bytes leave."""
        self.bucket.spend(size)
        self._sent += size

    def judge(self, now: float, roster: Roster, pseq: int) -> None:
        """Once a period: set the rate by what clients say of what it caused, as of packet ``pseq``."""
        self._due = now + self.control.period
        heard = roster.heard()
        if heard is not None and now - heard > SILENCE:
            self.control.silence()
            return
        used = self._sent / max(now - self._judged_at, 1e-3)
        spoken = roster.samples(self._changed_at)
        group = roster.group()
        losses = [c.loss for c in group]
        most = loss_followed(losses)
        samples = [s for s in spoken if s.network <= most or lags(s.behind, s.drain)]
        active = sum(c.loss <= most or c.standing.lags for c in group)
        limits = self._limits = self.bucket.limits() or (self._limits and self.control.slow_start)
        self.group_loss = median_low(losses) if losses else 0.0
        judged = self.control.judges(samples, active)
        if self.control.update(now, samples, used, active, limits=limits):
            self._changed_at = pseq
        if judged or now - self._judged_at > GATHER_SECONDS:
            # Slow start is short of witnesses: it gathers them until it may go on.
            self._judged_at, self._sent, self._limits = now, 0, False
            if not self.control.doubtful:
                roster.settle()
