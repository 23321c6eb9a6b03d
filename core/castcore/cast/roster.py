"""Who takes part in a cast, as the sender knows it: one record per joined client.

Nobody is ever waited for: a client that is silent for GONE_SECONDS is forgotten until it joins anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray

from castcore.cast.chunkset import ChunkSet
from castcore.cast.constants import FRUITLESS_LAPS_MAX, GONE_SECONDS
from castcore.cast.messages import Feedback, FeedbackFlag
from castcore.cast.ratecontrol import RUN, Sample, doubt
from castcore.cast.selecting import Selector
from castcore.cast.states import ClientClass
from castcore.cast.status import ClientStatus, Meter, time_left
from castcore.cast.stragglers import Standing, lags
from castcore.errors import Refused

CLIENTS_MAX = 1 << 16
# Fewer packets than this say little about a share of loss.
SAMPLE_MIN = 400
# Over so many seconds a client's speed is measured.
DRAIN_SECONDS = 0.3


@dataclass
class Client:
    """One client; packets (``seen``) are counted without wrapping."""

    name: str
    number: int
    key: bytes
    wants: NDArray[np.bool_]
    lacks: ChunkSet
    heard: float
    kind: ClientClass = ClientClass.OK
    last: Feedback | None = None
    last_number: int = -1
    seen: int = 0
    behind: int = 0
    drain: float = 0.0
    loss: float = 0.0
    served: bool = False
    fruitless_laps: int = 0
    received_at_lap: int = 0
    judged: tuple[Feedback, int] | None = field(default=None, repr=False)
    marks: deque[tuple[float, int]] = field(default_factory=deque, repr=False)
    gain: Meter = field(default_factory=Meter, repr=False)
    standing: Standing = field(default_factory=Standing, repr=False)

    @property
    def over(self) -> bool:
        """Whether the cast need not end later because of this client."""
        return self.kind in (ClientClass.DONE, ClientClass.GONE)

    @property
    def listens(self) -> bool:
        """Whether what this client asks for is worth sending."""
        deaf = self.fruitless_laps >= FRUITLESS_LAPS_MAX
        apart = self.standing.moved or self.kind is ClientClass.UNICAST
        return not (self.over or deaf or apart)

    def follows(self, selection: int) -> bool:
        """Whether it has said that it knows this selection."""
        return self.last is not None and self.last.selection == selection

    def left(self, selector: Selector, sent_at: NDArray[np.int64]) -> ChunkSet:
        """What it lacks still, as far as it has said: at its join, then of blocks sent since.

        ``sent_at``: the last packet of each block of the present selection, below 0 for none.
        """
        if not self.follows(selector.number):
            return self.lacks
        known = (sent_at >= 0) & (sent_at < self.seen) & ~self.wants
        return self.lacks - selector.of_blocks(known)

    def take(
        self, now: float, feedback: Feedback, seen: int, sent: int, *, fooled: bool = False
    ) -> None:
        """Note newer feedback, heard when ``sent`` packets were out.

        ``fooled``: it has counted packets that were never sent, so what it says of loss is not so.
        """
        if fooled:
            old = self.last or replace(feedback, received=0, net_lost=0, host_drop=0)
            feedback = replace(
                feedback, received=old.received, net_lost=old.net_lost, host_drop=old.host_drop
            )
        self.judged = self.judged or (feedback, seen)
        self.seen, self.behind, self.last = seen, sent - seen, feedback
        self.gain.note(now, feedback.chunks)
        self.marks.append((now, seen))
        while len(self.marks) > 2 and now - self.marks[1][0] > DRAIN_SECONDS:
            self.marks.popleft()
        then, seen_then = self.marks[0]
        self.drain = (seen - seen_then) / (now - then) if now > then else 0.0
        self.standing.lags = lags(self.behind, self.drain)
        shedding = FeedbackFlag.SHEDDING in feedback.flags
        if self.standing.moved:
            self.kind = ClientClass.NET_SLOW
        elif feedback.kind is ClientClass.UNICAST:
            self.kind = ClientClass.UNICAST
        else:
            self.kind = ClientClass.DISK_SLOW if shedding else ClientClass.OK

    def sample(self, since: int, size: int) -> Sample | None:
        """What it said of packets (of ``size`` bytes) sent from ``since`` on, and since it was last
        settled, when that is enough.
        """
        if self.over or self.standing.moved or self.last is None or self.judged is None:
            return None
        before, seen = self.judged
        if seen < since:
            self.judged = (self.last, self.seen)
            return None
        received = self.last.received - before.received
        network = max(self.last.net_lost - before.net_lost, 0)
        host = max(self.last.host_drop - before.host_drop, 0)
        whole = received + network + host
        if received < 0 or whole < SAMPLE_MIN:
            return None
        self.loss = max(network / whole - doubt(network / whole, whole, RUN), 0.0)
        shed = self.last.shed_blocks > before.shed_blocks
        share = max(host / whole, 0.1 if shed else 0.0)
        return Sample(network / whole, share, whole, float(self.behind * size), self.drain * size)

    def settle(self) -> None:
        """What it said until now has been judged."""
        if self.last is not None:
            self.judged = (self.last, self.seen)


class Roster:
    """All clients of one cast, by number and by name."""

    def __init__(self, selector: Selector) -> None:
        self._selector, self._datagram_size = selector, selector.every.datagram_size
        self._by_number: dict[int, Client] = {}
        self._next = 1

    def __iter__(self) -> Iterator[Client]:
        return iter(self._by_number.values())

    def __len__(self) -> int:
        return len(self._by_number)

    def join(self, now: float, name: str, key: bytes, held: ChunkSet | None) -> Client:
        """A new record for ``name``, which replaces its earlier one. Raises Refused at 65,535 joins."""
        if self._next >= CLIENTS_MAX:
            raise Refused("this cast has had 65,535 joins", hint="start a new cast")
        for number in [n for n, c in self._by_number.items() if c.name == name]:
            del self._by_number[number]
        whole = self._selector.whole
        # Most hold nothing: they share one set.
        lacks = whole if held is None else whole - held
        client = Client(name, self._next, key, self._no_blocks(), lacks, now)
        self._by_number[client.number] = client
        self._next += 1
        return client

    def key_of(self, number: int) -> bytes | None:
        """The feedback key of the client with this number."""
        client = self.get(number)
        return client.key if client else None

    def get(self, number: int) -> Client | None:
        """The client with this number."""
        return self._by_number.get(number)

    def age(self, now: float) -> None:
        """Forget whoever was silent too long."""
        for client in self:
            if not client.over and now - client.heard > GONE_SECONDS:
                client.kind = ClientClass.GONE

    def all_over(self) -> bool:
        """Whether every client is done or gone (also when there is none)."""
        return all(client.over for client in self)

    def active(self) -> int:
        """How many clients still take part."""
        return sum(not client.over for client in self)

    def group(self) -> list[Client]:
        """The clients that still take part and have not been moved away from the group."""
        return [c for c in self if not c.over and not c.standing.moved]

    def heard(self) -> float | None:
        """When any client of the group was last heard."""
        return max((c.heard for c in self.group() if c.last is not None), default=None)

    def demand(self) -> NDArray[np.bool_]:
        """The blocks that somebody wants sent again."""
        wanted = self._no_blocks()
        for client in self:
            if client.listens:
                wanted |= client.wants
        return wanted

    def left(self, sent_at: NDArray[np.int64]) -> ChunkSet | None:
        """What those who listen lack still; None when nobody has joined yet."""
        sets = (c.left(self._selector, sent_at) for c in self if c.listens)
        return reduce(or_, sets, ChunkSet.none(self._selector.whole.count)) if len(self) else None

    def apart(self) -> bool:
        """Whether somebody who takes part gets everything by unicast."""
        return any(not c.over and (c.standing.moved or c.kind is ClientClass.UNICAST) for c in self)

    def outside(self) -> bool:
        """Whether somebody who listens lacks what the present selection has not."""
        if self._selector.chunks is self._selector.whole:
            return False
        return any(c.listens and c.lacks - self._selector.chunks for c in self)

    def spoken(self) -> bool:
        """Whether all who take part have said something: they hear what is sent from now on."""
        return all(c.over or c.last is not None for c in self)

    def caught_up(self, pseq: int) -> bool:
        """Whether all who listen have spoken of the last packet before ``pseq``."""
        return all(c.seen >= pseq for c in self if c.listens)

    def informed(self) -> bool:
        """Whether all who listen know the present selection."""
        return all(c.follows(self._selector.number) for c in self if c.listens)

    def select(self, chunks: ChunkSet, sent_at: NDArray[np.int64]) -> None:
        """Go on to the next selection: blocks have other numbers from now on."""
        for client in self:
            client.lacks = client.left(self._selector, sent_at)
        self._selector.choose(chunks)
        for client in self:
            client.wants = self._no_blocks()

    def _no_blocks(self) -> NDArray[np.bool_]:
        return np.zeros(len(self._selector.table), np.bool_)

    def served(self, block: int) -> None:
        """``block`` was sent again."""
        for client in self:
            client.served |= bool(client.wants[block])
            client.wants[block] = False

    def lap_ended(self) -> None:
        """Notice clients whom laps do not reach: they ask, are served, and receive no packet.

        How many blocks a client has would not tell: a slow disk gains none in many a lap.
        """
        for client in self:
            if client.served and client.last is not None:
                grew = client.last.received > client.received_at_lap
                client.fruitless_laps = 0 if grew else client.fruitless_laps + 1
                client.received_at_lap = client.last.received
            client.served = False

    def samples(self, since: int) -> list[Sample]:
        """What clients said of packets sent from ``since`` on, until `settle`."""
        size = self._datagram_size
        return [sample for client in self if (sample := client.sample(since, size)) is not None]

    def settle(self) -> None:
        """What clients said until now has been judged."""
        for client in self:
            client.settle()

    def status(self, now: float, chunks: int, stored: int) -> tuple[ClientStatus, ...]:
        """Every client for people and programs; the image travels as ``chunks``, ``stored`` bytes."""
        return tuple(self._status(client, now, max(chunks, 1), stored) for client in self)

    def _status(self, client: Client, now: float, chunks: int, stored: int) -> ClientStatus:
        last, done = client.last, client.kind is ClientClass.DONE
        blocks, follows = len(self._selector.table), client.follows(self._selector.number)
        have = 1.0 if done else min(round(last.chunks / chunks, 4), 1.0) if last else 0.0
        rate = 0.0 if client.over else client.gain.rate(now) * stored / chunks
        return ClientStatus(
            client=client.name,
            kind=client.kind,
            rate=int(rate),
            have=have,
            eta=time_left((1 - have) * stored, rate),
            have_blocks=blocks if done else last.have_blocks if last and follows else 0,
            total_blocks=blocks,
            received=last.received if last else 0,
            net_lost=last.net_lost if last else 0,
            host_drop=last.host_drop if last else 0,
            shed_blocks=last.shed_blocks if last else 0,
            done=done,
        )
