"""How fast casts went: samples of each, as many as a chart has room for, the whole cast's length."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from castcore.cast.status import CastStatus

MOST_SAMPLES = 180
MOST_CASTS = 64


@dataclass(frozen=True, slots=True)
class RateSample:
    """A stretch of a cast, ending ``at`` seconds after its begin. In bytes a second: ``fresh`` of the
    image and ``repair`` (parity) were sent; ``goodput`` are the stored bytes that a machine which is
    not done gains on average.
    """

    at: float
    fresh: int
    repair: int
    goodput: int


@dataclass
class RateHistory:
    """The samples of one cast. When there are too many, each two become one and the step doubles."""

    samples: tuple[RateSample, ...] = ()
    step: float = 1.0
    _first: float | None = None
    _last: tuple[float, int, int] = (0.0, 0, 0)
    _gains: list[int] = field(default_factory=list)

    def note(self, now: float, status: CastStatus) -> None:
        """The cast stands so at ``now`` (monotonic seconds); a ``step`` makes one sample at most."""
        then, sent, repair = self._last
        # A count that falls is that of a fresh sender, after the last one ended.
        if self._first is None or status.sent < sent:
            self._first = now if self._first is None else self._first
            self._last, self._gains = (now, status.sent, status.repair), []
            return
        self._gains.append(_goodput(status))
        if now - then < self.step - 0.05:  # the clock that calls is not exact
            return
        seconds = now - then
        repaired = max(status.repair - repair, 0)
        fresh = max(status.sent - sent - repaired, 0)
        goodput = sum(self._gains) // len(self._gains)
        sample = RateSample(
            round(now - self._first, 1), int(fresh / seconds), int(repaired / seconds), goodput
        )
        self.samples = (*self.samples, sample)
        self._last, self._gains = (now, status.sent, status.repair), []
        if len(self.samples) >= MOST_SAMPLES:
            self.samples, self.step = thinned(self.samples), self.step * 2


def thinned(samples: tuple[RateSample, ...]) -> tuple[RateSample, ...]:
    """Each two of ``samples`` as one; of an odd number the last stays."""
    pairs = zip(samples[::2], samples[1::2], strict=False)
    made = tuple(
        RateSample(
            second.at,
            (first.fresh + second.fresh) // 2,
            (first.repair + second.repair) // 2,
            (first.goodput + second.goodput) // 2,
        )
        for first, second in pairs
    )
    return made + samples[len(samples) // 2 * 2 :]


class CastRates:
    """The histories of the latest casts since the server started; safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._histories: OrderedDict[str, RateHistory] = OrderedDict()

    def note(self, running: Iterable[tuple[str, CastStatus]]) -> None:
        """Once a second: how each cast that runs stands, by its id."""
        with self._lock:
            for cast, status in running:
                self._histories.setdefault(cast, RateHistory()).note(self._clock(), status)
            while len(self._histories) > MOST_CASTS:
                self._histories.popitem(last=False)

    def of(self, cast: str) -> tuple[RateSample, ...]:
        """The samples of the cast with this id, the oldest first; none when it never ran."""
        with self._lock:
            history = self._histories.get(cast)
            return history.samples if history is not None else ()


def _goodput(status: CastStatus) -> int:
    rates = [client.rate for client in status.clients if not client.over]
    return sum(rates) // len(rates) if rates else 0
