"""How fast a group is sent to: slow start, then as fast as it takes, by what its clients say.

Rates are bytes a second of UDP payload; times are seconds of the caller's clock; losses and drops are
shares (0..1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from castcore.cast.middle import median

RATE_FLOOR = 2_000_000.0
RATE_PROBE = 10_000_000.0
RATE_START_MAX = 100_000_000.0

# How often to judge; in slow start each doubling waits for word of the one before.
PERIOD = 0.25
START_PERIOD = 0.02
DECREASE_PAUSE = 0.5
SILENCE = 3.0
PROBE_FLOOR = 10.0
HOLD_SECONDS = 0.3
WITNESSES_MAX = 8

SLOW_START = 2.0
RECOVER = 1.25
PROBE = 1.05
STEP = 0.01
NEAR_KNEE, PAST_KNEE = 0.9, 1.1
LOSS_HEAVY, LOSS_HIGH, LOSS_MILD, LOSS_LOW = 0.20, 0.05, 0.01, 0.003
# A polite cast gives way before others' traffic does.
POLITE_LOSS = 0.001
HEAVY_MARGIN = 0.9
DECREASE_HIGH, DECREASE_MILD = 0.7, 0.85
# Only loss below this can be the medium's own; above it, it is a queue that overflows.
FLOOR_MAX = 0.10
# A share counted in few packets is uncertain: judge it by its mean less two standard deviations.
# Networks and hosts lose whole messages of the kernel (64 KiB) as well as single packets: a run.
DEVIATIONS = 2.0
RUN, RUN_DEVIATIONS = 45, 3.0

# What clients have not looked at yet waits in their hosts: first hold the rate, then follow them.
BEHIND_HOLD, BEHIND_HIGH = 0.08, 0.2
BEHIND_BYTES = 24 << 20
FOLLOW = 0.85


@dataclass(frozen=True, slots=True)
class Sample:
    """What one client says of a stretch of the stream.

    Shares ``network`` and ``host`` were lost of its ``packets``; when it spoke it was ``behind`` bytes
    behind the sender and had lately taken ``drain`` bytes a second (0: not known).
    """

    network: float
    host: float
    packets: int = 1 << 20
    behind: float = 0.0
    drain: float = 0.0


@dataclass
class RateControl:
    """The rate for a group. ``cap`` is the most to use; a minority's host drops never count.

    ``polite``: any loss beyond a thousandth is too much.

    It grows to its *knee*, where it was too much the last time, quickly; past it slowly at first.
    ``doubtful``: the last samples were too small to tell much loss from little, and are wanted again
    when they have grown.
    """

    cap: float
    polite: bool = False
    rate: float = field(init=False)
    floor: float = field(default=0.0, init=False)
    doubtful: bool = field(default=False, init=False)
    slow_start: bool = field(default=True, init=False)
    _knee: float = field(default=0.0, init=False)
    _decreased: float = field(default=-DECREASE_PAUSE, init=False)
    _before: tuple[float, float, bool, float] | None = field(default=None, init=False)
    _floor_set: float = field(default=0.0, init=False)
    _held: float | None = field(default=None, init=False)
    _warned: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.rate = min(max(RATE_PROBE, min(self.cap / 8, RATE_START_MAX)), self.cap)

    def limit(self, cap: float) -> None:
        """Use at most ``cap`` from now on; a rate that only the last cap held below the floor rises."""
        self.cap, self.rate = cap, min(max(self.rate, RATE_FLOOR), cap)

    @property
    def period(self) -> float:
        """Seconds until the next `update`."""
        return START_PERIOD if self.slow_start else PERIOD

    def update(
        self, now: float, samples: Sequence[Sample], used: float, clients: int, *, limits: bool = True
    ) -> bool:
        """Judge a period in which ``used`` was really sent, to ``clients``.

        ``limits``: the rate was what held the sender back; if not, more of it would be idle.
        True: what was sent before says nothing of the new rate, and must not be passed any more.
        """
        self.doubtful = False
        if not samples:
            return False if self.slow_start else self._grow(limits=limits)
        if not self.judges(samples, clients):
            return False
        loss = _quantile([s.network for s in samples], clients)
        packets = median(s.packets for s in samples)
        drops = median(s.host for s in samples)
        self.doubtful = self._doubts(loss, packets)
        if self.doubtful:
            excess = drops
        else:
            self._learn_floor(now, loss)
            excess = max(loss - self.floor - doubt(max(loss, self.floor), packets), drops)
        if excess > (POLITE_LOSS if self.polite else LOSS_MILD):
            return self._decrease(now, loss, excess, used)
        behind = median(s.behind for s in samples)
        lag = behind / max(self.rate, 1.0)
        if lag > BEHIND_HIGH or (behind > BEHIND_BYTES and lag > BEHIND_HOLD):
            return self._follow(now, median(s.drain for s in samples))
        if excess > LOSS_LOW:
            self._before = None
            return self._hold(now, loss, excess, used)
        self._held = None
        if self.doubtful:
            # At a higher rate slow start learns sooner whether it is too high.
            return self.slow_start and lag <= BEHIND_HOLD and self._grow(limits=limits)
        self._before = None
        if lag > BEHIND_HOLD:
            return False
        return self._grow(limits=limits)

    def _doubts(self, loss: float, packets: float) -> bool:
        """Whether ``loss`` may be much or little, when packets are lost in runs."""
        likely = max(loss, self.floor, self._before[1] if self._before else 0.0)
        over, spread = loss - self.floor, doubt(likely, packets, RUN)
        if self._before is not None:
            # A rate is being tried out below the cap: that may be short and wrong, not long.
            return spread > likely
        return over - doubt(likely, packets) > LOSS_LOW and over - spread <= LOSS_MILD < 2 * spread

    def judges(self, samples: Sequence[Sample], clients: int) -> bool:
        """Whether so many samples are enough; in slow start the caller gathers them until they are."""
        return not self.slow_start or len(samples) >= min(max(clients / 2, 1), WITNESSES_MAX)

    def silence(self) -> None:
        """Nobody was heard for SILENCE seconds: probe gently until somebody is."""
        self.rate = min(self.rate, RATE_PROBE)
        self.slow_start, self._warned = True, False

    def _hold(self, now: float, loss: float, excess: float, used: float) -> bool:
        """A little loss: stay; when it does too, find out whether it answers to the rate."""
        if self._held is None:
            self._held = now
        if now - self._held < HOLD_SECONDS:
            return False
        self._held = None
        return self._decrease(now, loss, excess, used)

    def _grow(self, *, limits: bool) -> bool:
        if not limits or self.rate >= self.cap:
            return False
        if self.slow_start:
            step = self.rate * SLOW_START
        elif self.rate < NEAR_KNEE * self._knee:
            step = min(self.rate * RECOVER, NEAR_KNEE * self._knee)
        elif self.rate < PAST_KNEE * self._knee:
            step = self.rate + STEP * self._knee
        else:
            step = self.rate * PROBE
        self.rate = min(step, self.cap)
        return self.slow_start

    def _decrease(self, now: float, loss: float, excess: float, used: float) -> bool:
        # Slow start judges only what was sent since its last step.
        if now - self._decreased < DECREASE_PAUSE and not self.slow_start:
            return False
        self._before = (self.rate, loss, self.slow_start, self._knee)
        if excess > LOSS_HEAVY:
            factor = (1 - excess) * HEAVY_MARGIN
        else:
            factor = DECREASE_HIGH if excess > LOSS_HIGH else DECREASE_MILD
        # What was allowed but not used did no harm.
        base = min(self.rate, max(used * PAST_KNEE, self.rate / 2))
        if self.slow_start and not self._warned:
            # A receiver that has just begun may stumble once: the second time tells what is too much.
            self._warned, self._decreased = True, now
            self.rate = max(base * factor, min(RATE_FLOOR, self.cap))
        else:
            self._leave(now, base * factor, base * (1 - excess))
        return True

    def _follow(self, now: float, drain: float) -> bool:
        """Clients fall behind: a little less than they take, until they have caught up."""
        if now - self._decreased < DECREASE_PAUSE or drain <= 0:
            return False
        self._leave(now, min(drain * FOLLOW, self.rate), min(drain, self.rate))
        return True

    def _leave(self, now: float, rate: float, knee: float) -> None:
        self.slow_start = False
        self._decreased = now
        self._knee = knee
        self.rate = max(rate, min(RATE_FLOOR, self.cap))

    def _learn_floor(self, now: float, loss: float) -> None:
        """Loss that did not fall by a quarter with the rate is not congestion: judge above it."""
        if self._before is not None:
            rate, earlier, slow_start, knee = self._before
            if (
                loss > (POLITE_LOSS if self.polite else LOSS_LOW)
                and max(loss, earlier) <= FLOOR_MAX
                and loss > 0.75 * earlier
            ):
                self.rate, self.slow_start, self._knee = max(rate, self.rate), slow_start, knee
                self.floor, self._floor_set, self._before = loss, now, None
        elif loss < self.floor and now - self._floor_set > PROBE_FLOOR:
            self.floor, self._floor_set = loss, now


def doubt(share: float, packets: float, run: int = 1) -> float:
    """By how much a share of loss counted in ``packets`` may be too high, if ``run`` fall together."""
    deviations = DEVIATIONS if run == 1 else RUN_DEVIATIONS
    return deviations * math.sqrt(share * run / max(packets, 1))


def _quantile(losses: Sequence[float], clients: int) -> float:
    """The 95th percentile, leaving out at least the single worst of four or more clients."""
    ordered = sorted(losses, reverse=True)
    return ordered[max(1, len(ordered) // 20) if clients >= 4 and len(ordered) > 1 else 0]
