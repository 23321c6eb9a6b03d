"""Clients whose link is slower than the cast: who they are, and where they get their chunks.

Such a client leaves the group, so that a snooping switch stops flooding its port, and fetches chunks by
unicast. It is told so in the answer to each of its feedbacks, for as long as that holds: nothing is
lost when an answer is, and an old one changes nothing. Losses are shares (0..1), times are seconds of
the caller's clock, speeds are bytes a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from castcore.cast.messages import Feedback, FeedbackFlag
from castcore.cast.middle import median_low
from castcore.cast.states import Place

JUDGE_SECONDS = 0.5
# A client stands apart while at least half of the group loses less than this.
GROUP_LOSS = 0.01
# A bad cable is borne for a while, a port that passes only a part of the stream not so long: until it is
# seen twice in a row. A machine that stood still says nothing meanwhile; it has lost as much once.
HIGH_LOSS, HIGH_SECONDS = 0.08, 5.0
SEVERE_LOSS, SEVERE_SECONDS = 0.30, JUDGE_SECONDS
# Of so many clients the rate leaves out the worst anyway.
MANY = 4
# What waits for so long does not wait before a link, whose queue is short, but in a slow machine.
LAG_SECONDS = 0.5
# Fewer packets than this say little about a share of loss.
PACKETS_MIN = 200
# Clients that get less than this of what their links carry are better served by a lap for all of them.
STARVED, STARVED_SECONDS = 0.5, 5.0


@dataclass
class Standing:
    """Where one client is, and what speaks for moving it; ``link`` is what its link let through.

    ``lags``: it is the machine that is slow, not its link (`lags`).
    """

    place: Place = Place.GROUP
    lags: bool = False
    loss: float = 0.0
    link: float = 0.0
    leaks: bool = False
    _mark: tuple[float, Feedback] | None = field(default=None, repr=False)
    _high_since: float | None = field(default=None, repr=False)

    @property
    def moved(self) -> bool:
        """Whether it has been told to leave the group."""
        return self.place is not Place.GROUP

    def measure(self, now: float, last: Feedback, datagram_size: int) -> bool:
        """Take what it said since the last time; whether that is enough to judge it by."""
        self.leaks = FeedbackFlag.LEAK in last.flags
        if self._mark is None:
            self._mark = (now, last)
            return False
        then, before = self._mark
        received = last.received - before.received
        lost = max(last.net_lost - before.net_lost, 0)
        whole = received + lost + max(last.host_drop - before.host_drop, 0)
        if received >= 0 and whole < PACKETS_MIN:
            return False
        self._mark = (now, last)
        if received < 0:
            return False
        self.loss = lost / whole
        self.link = received * datagram_size / max(now - then, JUDGE_SECONDS / 2)
        return True

    def judge(self, now: float, *, last: bool) -> None:
        """Move it if it long lost too much while half of the group lost next to nothing, or is done."""
        if self.loss <= HIGH_LOSS or self.lags:
            self._high_since = None
            return
        if self._high_since is None:
            self._high_since = now
        patience = SEVERE_SECONDS if last or self.loss > SEVERE_LOSS else HIGH_SECONDS
        if now - self._high_since >= patience:
            self.place = Place.UNICAST

    def settle(self, *, busy: bool) -> None:
        """A port that the group's traffic floods all the same can take nothing else while that lasts."""
        if self.moved:
            self.place = Place.PARKED if self.leaks and busy else Place.UNICAST

    def call_back(self) -> None:
        """It shall be in the group again; what it lost before says nothing any more."""
        self.place, self.loss = Place.GROUP, 0.0
        self._mark = self._high_since = None


@dataclass
class Stragglers:
    """Judges all clients of a cast twice a second.

    ``chunk_size``: stored bytes of a chunk on average.
    """

    chunk_size: float
    datagram_size: int
    _due: float = 0.0
    _chunks: int = 0
    _starved_since: float | None = None
    _checked: float = 0.0

    def judge(
        self,
        now: float,
        members: Sequence[tuple[Standing, Feedback]],
        *,
        others: bool,
        busy: bool,
    ) -> None:
        """Move, park or call back clients, by their latest feedback; ``others`` are done already.

        ``busy``: the group is being sent to.
        """
        if now < self._due:
            return
        passed, self._checked = now - self._checked, now
        self._due = now + JUDGE_SECONDS
        group = [(s, f) for s, f in members if not s.moved]
        told = [s for s, f in group if s.measure(now, f, self.datagram_size)]
        last = others and len(group) == 1
        if last or (len(told) > 1 and median_low([s.loss for s in told]) < GROUP_LOSS):
            for standing in told:
                standing.judge(now, last=last)
        moved = [(s, f) for s, f in members if s.moved]
        for standing, feedback in moved:
            standing.leaks = FeedbackFlag.LEAK in feedback.flags
            standing.settle(busy=busy)
        gained = self._gained(moved) * self.chunk_size / max(passed, 1e-3)
        if self._starve(now, [s for s, _ in moved], gained, busy=busy):
            for standing, _ in moved:
                standing.call_back()

    def _gained(self, moved: Sequence[tuple[Standing, Feedback]]) -> int:
        """Chunks that moved clients got since the last time."""
        before, self._chunks = self._chunks, sum(f.chunks for _, f in moved)
        return max(self._chunks - before, 0)

    def _starve(self, now: float, moved: Sequence[Standing], speed: float, *, busy: bool) -> bool:
        """Whether several clients have long got by unicast much less than a lap would give them."""
        links = sum(s.link for s in moved)
        if busy or len(moved) < 2 or speed >= STARVED * links:
            self._starved_since = None
            return False
        if self._starved_since is None:
            self._starved_since = now
        if now - self._starved_since < STARVED_SECONDS:
            return False
        self._starved_since = None
        return True


def lags(behind: float, drain: float) -> bool:
    """Whether a client so much ``behind`` the stream that takes ``drain`` a second is a slow machine.

    What such a machine loses is lost to its own full queues: the rate follows it, to leave the group
    would not help it.
    """
    return drain > 0 and behind > LAG_SECONDS * drain


def loss_followed(losses: Sequence[float]) -> float:
    """The highest loss that the rate still follows, when the group's clients lose so much.

    While at least half of them lose nothing, who loses as much as a client that is moved does not count:
    a rate that it once has slowed down is too slow to show that its link is. Of a few clients the one
    that loses at all is left out, as the worst of many is.
    """
    if len(losses) < 2 or median_low(losses) >= GROUP_LOSS:
        return 1.0
    return HIGH_LOSS if len(losses) >= MANY else GROUP_LOSS
