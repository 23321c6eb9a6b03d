"""How fast to send: a token bucket, and the rate that fills it (slow start, then AIMD).

Rates are bytes a second of UDP payload; times are seconds of the caller's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from castcore.cast.constants import BURST_MAX, BURST_MIN, DATAGRAM_SIZE

RATE_FLOOR = 2_000_000.0
RATE_PROBE = 10_000_000.0
RATE_START_MAX = 50_000_000.0

PERIOD = 0.25
DECREASE_PAUSE = 0.5
SILENCE = 3.0
PROBE_FLOOR = 10.0

SLOW_START = 1.25
INCREASE = 0.02
LOSS_HEAVY, LOSS_HIGH, LOSS_MILD, LOSS_LOW = 0.20, 0.05, 0.01, 0.003
HEAVY_MARGIN = 0.9
DECREASE_HIGH, DECREASE_MILD = 0.7, 0.85
# Only loss below this can be the medium's own; above it, it is a queue that overflows.
FLOOR_MAX = 0.10

# Sleeping overshoots by milliseconds on a busy machine; what was missed may follow at once.
BUCKET_SECONDS = 0.005
BURST_SECONDS = 0.0005


@dataclass
class TokenBucket:
    """Tells when the next burst may leave. Sending is allowed while ``tokens`` is not negative."""

    tokens: float = 0.0
    filled: float | None = None

    def wait(self, now: float, rate: float) -> float:
        """Seconds until the next burst may leave; 0 for at once."""
        if self.filled is not None:
            self.tokens += max(now - self.filled, 0.0) * rate
        depth = max(rate * BUCKET_SECONDS, BURST_MIN * DATAGRAM_SIZE)
        self.tokens = min(self.tokens, depth)
        self.filled = now
        # Less than a byte is no debt: waiting for it may be too short to move the clock at all.
        return -self.tokens / rate if self.tokens < -1 else 0.0

    def spend(self, size: int) -> None:
        """``size`` bytes were sent."""
        self.tokens -= size


def burst_packets(rate: float) -> int:
    """Datagrams to send back to back: half a millisecond's worth, so that switch queues survive."""
    return max(BURST_MIN, min(BURST_MAX, int(rate * BURST_SECONDS / DATAGRAM_SIZE)))


@dataclass
class RateControl:
    """AIMD on what the group loses, above the loss that does not answer to the rate.

    ``cap`` is the most to use. One update a PERIOD gets the shares (0..1) that each client lost in the
    network and in its own host since the last one; a minority's host drops never count.
    """

    cap: float
    rate: float = field(init=False)
    floor: float = field(default=0.0, init=False)
    _slow_start: bool = field(default=True, init=False)
    _decreased: float = field(default=-DECREASE_PAUSE, init=False)
    _before: tuple[float, float, bool] | None = field(default=None, init=False)
    _floor_set: float = field(default=0.0, init=False)
    _hold: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.rate = min(max(RATE_PROBE, min(self.cap / 8, RATE_START_MAX)), self.cap)

    def update(self, now: float, network: Sequence[float], host: Sequence[float], used: float) -> bool:
        """Judge one period; ``used`` is the rate really sent in it. Return True after a decrease.

        The caller must not pass again what was lost before a decrease.
        """
        if network:
            loss = _quantile(network)
            self._learn_floor(now, loss)
            excess = max(loss - self.floor, median(host) if host else 0.0)
            if excess > LOSS_MILD:
                return self._decrease(now, loss, excess)
            self._before = None
            self._hold = excess > LOSS_LOW
        if not self._hold and used > 0.7 * self.rate:
            self._grow()
        return False

    def silence(self) -> None:
        """Nobody was heard for SILENCE seconds: probe gently until somebody is."""
        self.rate = min(self.rate, RATE_PROBE)
        self._slow_start = True

    def _grow(self) -> None:
        step = self.rate * SLOW_START if self._slow_start else self.rate + INCREASE * self.cap
        # A fifth at most: on a fast link 2% of the cap can be more than the group's whole rate.
        self.rate = min(step, self.rate * SLOW_START, self.cap)

    def _decrease(self, now: float, loss: float, excess: float) -> bool:
        if now - self._decreased < DECREASE_PAUSE:
            return False
        self._before = (self.rate, loss, self._slow_start)
        self._slow_start = False
        self._hold = False
        self._decreased = now
        if excess > LOSS_HEAVY:
            factor = (1 - excess) * HEAVY_MARGIN
        else:
            factor = DECREASE_HIGH if excess > LOSS_HIGH else DECREASE_MILD
        self.rate = max(self.rate * factor, min(RATE_FLOOR, self.cap))
        return True

    def _learn_floor(self, now: float, loss: float) -> None:
        """Loss that did not fall by a quarter with the rate is not congestion: judge above it."""
        if self._before is not None:
            rate, earlier, slow_start = self._before
            if loss > LOSS_MILD and max(loss, earlier) <= FLOOR_MAX and loss > 0.75 * earlier:
                self.rate, self._slow_start = max(rate, self.rate), slow_start
                self.floor, self._floor_set, self._before = loss, now, None
        elif loss < self.floor and now - self._floor_set > PROBE_FLOOR:
            self.floor, self._floor_set = loss, now


def _quantile(losses: Sequence[float]) -> float:
    """The 95th percentile, leaving out at least the single worst of four or more."""
    ordered = sorted(losses, reverse=True)
    return ordered[max(1, len(ordered) // 20) if len(ordered) >= 4 else 0]
