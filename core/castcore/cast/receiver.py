"""The receiver of a cast, sans-IO: datagrams, results and the time in, actions out.

Data becomes complete by its own symbols, by parity, by a later lap or by unicast; which of them a
chunk came by is counted, and none of them is ever waited for alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from castcore.cast.actions import (
    Action,
    Ask,
    Deliver,
    Fetch,
    Flush,
    Rejoin,
    Release,
    Repair,
    Scatter,
    Send,
)
from castcore.cast.apart import APART, Apart
from castcore.cast.arrival import Arrival
from castcore.cast.blocks import BlockTable
from castcore.cast.chunkset import ChunkSet
from castcore.cast.closing import Closing
from castcore.cast.constants import HEAR_SECONDS, SILENT_SECONDS
from castcore.cast.data import DATA_TYPE, FLAG_REPAIR, Headers
from castcore.cast.farewell import Farewell
from castcore.cast.fetching import Fetching
from castcore.cast.holding import Holding
from castcore.cast.holdings import Holdings
from castcore.cast.ledger import Ledger
from castcore.cast.messages import Beacon, FinAck, Move, ServerWord
from castcore.cast.reporting import Reporter, View
from castcore.cast.selecting import Follower
from castcore.cast.states import RECEIVER, ReceiverEvent, ReceiverState, SenderState
from castcore.cast.suspects import Suspects
from castcore.cast.values import JoinAnswer

Ints = NDArray[np.int64]

# Look for complete chunks after so many new symbols of a block: often enough for workers to be busy.
SCAN_SYMBOLS = 512
SCAN_SECONDS = 0.02


class ReceiverCore:
    """One client's part in a cast. ``buffers``: how many blocks it may hold at once.

    Not thread-safe; the time only ever grows. ``jitter`` (0..1) spreads the feedback of clients.
    """

    def __init__(
        self,
        table: BlockTable,
        root: bytes,
        *,
        buffers: int,
        jitter: float = 0.5,
        held: ChunkSet | None = None,
    ) -> None:
        self.state = ReceiverState.RECEIVING
        self.ledger = Ledger(table, held)
        self._follower = Follower(table)
        self._held = Holdings(table, buffers)
        self._suspects = Suspects()
        self._closing = Closing(len(table))
        self._arrival = Arrival()
        self._reporter = Reporter(table, jitter)
        self._session = 0
        self._answer = JoinAnswer(0, b"", 0)
        self._beacon: Beacon | None = None
        self._beacons = 0
        self._beacon_at = self._heard_at = self._joined_at = self._scan_at = 0.0
        self._fetching = Fetching(self.ledger)
        self._apart = Apart()
        self.farewell = Farewell(root, jitter)
        self._told = self._heard_data = self._left_out = False

    @property
    def awaited(self) -> str:
        """What the server waits for before it sends anything, by its last word; "" when nothing."""
        return self._fetching.awaited

    @property
    def table(self) -> BlockTable:
        """The table that blocks are numbered by now; another one makes all buffers void."""
        return self._follower.table

    # -- what happens to a receiver

    def on_joined(self, now: float, session: int, answer: JoinAnswer) -> None:
        """The server took us in, at first or again; what we hold stays good."""
        if session != self._session:
            # Within a session they only grow, over every join: a replay is never news.
            self._beacons = 0
            self._follower.restart()
            self._follow(now)
        self._session, self._answer = session, answer
        self._joined_at, self._beacon = now, None
        self._fetching.joined()
        self._apart.joined()
        self._arrival = Arrival()
        self._held.heard(now, None)
        self._closing.restart(now, answer.head)
        self._reporter.joined(now)
        self._told = self._heard_data = self._left_out = False
        self._event(ReceiverEvent.REJOINED)

    def on_headers(self, now: float, headers: Headers) -> list[Scatter]:
        """A burst of DATA headers; returns where its useful symbols belong."""
        if self.state in APART or self._arrival.resting:
            return []
        good = (headers["vt"] == DATA_TYPE) & (headers["session"] == self._session)
        good &= headers["stream"] == 0
        good &= self._arrival.plausible(headers["pseq"])
        if not good.any():
            return []
        self._arrival.count(headers["pseq"][good])
        good &= (headers["selection"] == self._follower.number) & (headers["block"] < len(self.table))
        picks = np.flatnonzero(good)
        if not len(picks):
            return []
        self._heard_data = True
        blocks = headers["block"][picks].astype(np.int64)
        if blocks.min() == blocks.max():
            parts = [(int(blocks[0]), picks)]
        else:
            parts = [(b, picks[blocks == b]) for b in np.unique(blocks).tolist()]
        scatters = []
        for block, mine in parts:
            if not (headers["flags"][mine] & FLAG_REPAIR).all():
                self._closing.heard(now, block)
            scatter = self._place(now, block, headers, mine)
            if scatter is not None:
                scatters.append(scatter)
        if scatters:
            self._fetching.useful()
        return scatters

    def on_control(self, now: float, packet: ServerWord) -> None:
        """An authenticated control packet of our session."""
        if isinstance(packet, Beacon):
            self._on_beacon(now, packet)
        elif isinstance(packet, Move | FinAck):
            if packet.client == self._answer.client_number:
                self._on_word(now, packet)
        else:
            self._event(ReceiverEvent.ABORT)

    def on_leak(self, *, leaks: bool) -> None:
        """Whether the group's traffic still reaches this host although it left."""
        self._apart.leaks = leaks

    def on_deaf(self) -> None:
        """Multicast cannot reach us on this interface: everything by unicast."""
        self._event(ReceiverEvent.DEAF)

    def on_selected(self, now: float, number: int, table: BlockTable | None) -> None:
        """The table of selection ``number`` (None: it could not be had)."""
        if table is None or self._beacon is None or self._beacon.selection != number:
            return
        self._follower.adopt(number, table)
        self._follow(now)
        # What we missed of the selection before is not of this one: the sender shall know.
        self._left_out = self._heard_data and self.ledger.outside()

    def on_dropped(self, packets: int) -> None:
        """Our host threw away this many datagrams more."""
        self._arrival.host_drop += packets

    def on_repaired(self, block: int, stripe: int, rows: int) -> None:
        """``rows`` lost rows of a stripe were restored in the buffer of a block that is still held."""
        self.ledger.repaired += rows * self.table.symbol_size
        self._held[block].repaired(stripe)
        self._held[block].fresh = SCAN_SYMBOLS

    def on_put(self, chunk: int, *, good: bool) -> None:
        """The sink took a delivered chunk, or refused it as not the image's."""
        if good:
            self.ledger.put(chunk)
            return
        block = self.ledger.block_of(chunk)
        # It may be of a selection that is over, and its symbols are gone.
        self.ledger.refuse(chunk, doubt=block in self._held and self._suspects.refused(block))

    def awaits(self, block: int) -> bool:
        """Whether the symbol digests of ``block`` are still of use."""
        return block in self._held and self._suspects.aside(block)

    def present(self, block: int) -> Ints:
        """The buffer rows of the symbols of ``block`` that are there, to be vetted."""
        return self._held[block].present()

    def on_vetted(self, block: int, wrong: Ints) -> None:
        """The symbols in the buffer rows ``wrong`` of a block asked about are not the image's."""
        self._suspects.vetted(block)
        holding = self._held[block]
        holding.drop(wrong)
        holding.again(self.ledger.resolve(block, vetted=True))
        holding.fresh = SCAN_SYMBOLS

    def on_unvetted(self, now: float, block: int) -> None:
        """The server could not tell the symbol digests of a block asked about."""
        if not self._suspects.unanswered(now, block):
            self.ledger.resolve(block, vetted=False)
            self._held[block].fresh = SCAN_SYMBOLS

    def on_fetched(self, now: float, chunk: int, *, good: bool, alive: bool = False) -> None:
        """The sink took a fetched chunk, or it could not be fetched from a server that is ``alive``."""
        self.ledger.fetched(chunk, good=good)
        if not good:
            self._fetching.failed(now)
            if self.state is ReceiverState.UNICAST and not alive:
                self._silence(now)

    def on_flushed(self) -> None:
        """All chunks are durable."""
        self._event(ReceiverEvent.FLUSHED)

    # -- what to do

    def poll(self, now: float) -> list[Action]:
        """What to do now."""
        actions: list[Action] = []
        if self.state in (ReceiverState.DONE, ReceiverState.ABORTED):
            return actions
        whole_scan = now >= self._scan_at
        if whole_scan:
            self._scan_at = now + SCAN_SECONDS
        for holding in list(self._held.values()):
            if holding.fresh >= SCAN_SYMBOLS or (holding.fresh and (whole_scan or holding.whole())):
                actions += self._scan(holding)
        if whole_scan:
            actions += self._release()
            for holding in self._held.values():
                actions += self._mend(now, holding)
            actions += [
                Ask(self._follower.number, block) for block in self._suspects.ask(now, self._quiet)
            ]
            self._judge(now, actions)
            actions += self._follower.ask(now, self._beacon)
            actions += map(Fetch, self._fetching.choose(now, self.state, self._held))
            actions += self._apart.actions(now, self.state)
        actions += self._ending(now)
        if self._reporter.due(now):
            actions += [Send(p) for p in self._reporter.poll(now, self._view(now))]
        return actions

    # -- inside

    def _follow(self, now: float) -> None:
        """Blocks have other numbers: what is held of the old ones is void, put chunks stay."""
        table, beacon = self.table, self._beacon
        self.ledger.follow(table)
        self._reporter.follow(now, table)
        self._held.follow(table)
        self._held.heard(now, beacon)
        self._suspects = Suspects()
        self._closing = Closing(len(table))
        if beacon is not None:
            self._closing.announced(now, beacon.closed)

    def _event(self, event: ReceiverEvent) -> None:
        self.state = RECEIVER[self.state].get(event, self.state)

    def _on_beacon(self, now: float, beacon: Beacon) -> None:
        if beacon.number <= self._beacons:
            return
        self._beacon, self._beacon_at, self._heard_at = beacon, now, now
        self._beacons = beacon.number
        self._held.heard(now, beacon)
        self._arrival.announced(beacon.pseq)
        self._reporter.hasten(beacon.status_ms / 1000)
        self._event(ReceiverEvent.HEARD)
        if self._follower.follows(beacon):
            self._closing.announced(now, beacon.closed)
        elif (table := self._follower.everything(beacon)) is not None:
            self.on_selected(now, beacon.selection, table)
        self._fetching.heard(beacon)
        if beacon.state in (SenderState.TAIL, SenderState.LINGER, SenderState.CLOSED):
            self._event(ReceiverEvent.ONLY_HOLES)

    def _on_word(self, now: float, word: Move | FinAck) -> None:
        """What the sender says to this client alone."""
        if isinstance(word, FinAck):
            self._event(ReceiverEvent.ACKED)
            return
        event = self._apart.told(word)
        if event is None:
            return
        self._heard_at = now
        self._event(event)
        if self.state in APART:
            self._arrival.rest()

    def _place(self, now: float, block: int, headers: Headers, picks: Ints) -> Scatter | None:
        picks = picks[headers["symbols"][picks] == self.table.symbols[block]]
        if not len(picks) or not (block in self._held or self._open(now, block)):
            return None
        return self._held.place(block, headers, picks)

    def _open(self, now: float, block: int) -> bool:
        """Begin to hold a block, unless the pool is full: then whole blocks are shed."""
        if self.ledger.settled(block) or not self._held.allows(now, block):
            return False
        if not self._held.free:
            self._event(ReceiverEvent.POOL_FULL)
        if self.state is ReceiverState.SHEDDING:
            self._reporter.shed(block)
            return False
        self._held.open(block)
        return True

    def _scan(self, holding: Holding) -> list[Action]:
        """Deliver what is complete."""
        actions: list[Action] = []
        if self._suspects.aside(holding.number):
            return actions
        pieces = self.table.pieces(holding.number)
        for place in holding.deliverable():
            piece = pieces[place]
            if self.ledger.deliver(piece.chunk):
                actions.append(Deliver(holding.number, piece.chunk, piece.start, piece.length))
        return actions

    def _mend(self, now: float, holding: Holding) -> list[Action]:
        # To a client apart from the group nothing more comes of any block.
        over = self.state in APART or self._closing.closed(now, holding.number)
        if not over or self._suspects.aside(holding.number):
            return []
        return [Repair(holding.number, *found) for found in holding.repairable()]

    def _quiet(self, block: int) -> bool:
        """Whether no worker reads the buffer of ``block``, or computes something for it."""
        return not self._held[block].busy and not self.ledger.putting(block)

    def _release(self) -> list[Action]:
        done = [b for b in self._held if self.ledger.settled(b)]
        for block in done:
            self._held.close(block)
            self._suspects.release(block)
        if self._held.roomy:
            self._event(ReceiverEvent.POOL_FREE)
        return [Release(block) for block in done]

    def _judge(self, now: float, actions: list[Action]) -> None:
        """Notice a sender that is gone, or one whose multicast does not reach us."""
        if self.ledger.complete:
            self._event(ReceiverEvent.COMPLETE)
            return
        if self._beacon is None:
            if now - self._joined_at > HEAR_SECONDS:
                self._event(ReceiverEvent.DEAF)
        elif now - self._heard_at > SILENT_SECONDS:
            self._silence(now)
        if self._left_out or (self.state is ReceiverState.SILENT and not self._told):
            self._left_out, self._told = False, True
            actions.append(Rejoin())

    def _silence(self, now: float) -> None:
        self._heard_at = now
        self._event(ReceiverEvent.SILENCE)

    def _ending(self, now: float) -> list[Action]:
        farewell, clients = self.farewell, self._beacon.clients if self._beacon else 0
        if self.state is ReceiverState.FLUSHING and farewell.flush(now, clients):
            return [Flush()]
        if self.state is ReceiverState.FINISHING and farewell.due(now):
            if not farewell.over:
                return [Send(farewell.say(now, self._session, self._answer))]
            self._event(ReceiverEvent.ACKED)
        return []

    @property
    def _listens(self) -> bool:
        """Whether the group's blocks are what we follow, so that we can tell what we lack of them."""
        return self.state not in APART and self._follower.follows(self._beacon)

    def _view(self, now: float) -> View:
        return View(
            state=self.state,
            session=self._session,
            answer=self._answer,
            arrival=self._arrival,
            beacon=self._beacon,
            beacon_age=now - self._beacon_at,
            closed=self._closing.mask(now if self._listens else -np.inf),
            lacking=self.ledger.lacking(),
            have_blocks=int(self.ledger.done_blocks.sum()),
            chunks=self.ledger.done_chunks,
            held=self._held,
            free=self._held.free,
            selection=self._follower.number,
            leaks=self._apart.leaks,
        )
