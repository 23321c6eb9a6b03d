"""The sender of a cast, sans-IO: feedback and the time in, bursts and control datagrams out.

Nothing is ever acknowledged and nobody is waited for. One pass over all blocks, parity for what
clients lack trailing behind it, then laps over the blocks that somebody still misses.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from castcore.cast.blocks import BlockTable
from castcore.cast.carousel import Carousel
from castcore.cast.chunkset import ChunkSet
from castcore.cast.constants import (
    BEACON_SECONDS,
    BURST_BYTES_MAX,
    LINGER_SECONDS,
    SETTLE_SECONDS,
    feedback_seconds,
    status_seconds,
)
from castcore.cast.data import FLAG_PARITY, FLAG_REPAIR
from castcore.cast.governor import Governor
from castcore.cast.messages import Abort, Beacon, Bitmap, Feedback, Fin, FinAck, Move
from castcore.cast.outputs import Control, Output, ParityBurst, SourceBurst, Wait
from castcore.cast.pacing import burst_packets
from castcore.cast.ratecontrol import RATE_PROBE
from castcore.cast.repairs import Repairs
from castcore.cast.roster import Client, Roster
from castcore.cast.selecting import SELECT_SECONDS, Selector
from castcore.cast.states import SENDER, ClientClass, Place, SenderEvent, SenderState, Transport
from castcore.cast.status import CastStatus, group_time_left
from castcore.cast.stragglers import Stragglers
from castcore.cast.unicastbudget import unicast_speed
from castcore.cast.values import JoinAnswer
from castcore.cast.wire import encode_abort, encode_beacon, encode_fin_ack, encode_move
from castcore.trust import SigningKey

# A client that loses so much, where half of the group loses next to nothing, is an outlier.
OUTLIER_LOSS, GROUP_LOSS = 0.08, 0.01
# Clients speak often while the rate doubles, which takes a fraction of a second.
START_SECONDS = 2.0

# Rates travel in kB/s: a sender that is not paused never says 0.
KILO = 1000
# The longest a driver may sleep: feedback can arrive at any time.
IDLE_SECONDS = 0.02


class SenderCore:
    """One cast. ``session`` is a random u32, ``key`` signs control, ``cap`` bytes a second at most;
    ``polite`` leaves the way to others; ``transport``: whom the stream serves. ``key_of`` gives the
    feedback key of a client's number.

    Not thread-safe; the time only ever grows.
    """

    def __init__(
        self,
        table: BlockTable,
        session: int,
        key: SigningKey,
        root: bytes,
        cap: float,
        *,
        polite: bool = False,
        transport: Transport = Transport.AUTO,
    ) -> None:
        self.state = SenderState.GATHER
        self.session = session
        self._table, self._key, self._root = table, key, root
        self.selector = Selector(table)
        self._roster = Roster(self.selector)
        self.key_of = self._roster.key_of
        self._repairs = Repairs(table)
        chunk_size = table.stored_bytes / max(len(table.chunks), 1)
        self._stragglers = Stragglers(chunk_size, table.datagram_size)
        self._governor = Governor(cap, polite=polite)
        self.paused, self._transport = False, transport
        self._carousel = Carousel(table)
        self._number = self._heard = 0
        self._beacon_due = 0.0
        self._started, self._settled = math.inf, 0.0
        self._waiting_since: float | None = None
        self._linger_until = self._select_until = 0.0
        self._now = 0.0

    # -- what happens to a cast

    def start(self, now: float) -> None:
        """Begin the pass: over what somebody lacks, or over all when nobody is here to tell."""
        if self.state is not SenderState.GATHER:
            return
        self._beacon_due = now
        self._started = now
        self._settled = now + SETTLE_SECONDS if self._roster.active() else now
        self._governor.start(now)
        wanted = self._roster.left(self._carousel.sent_at)
        if wanted is None or wanted == self.selector.whole:
            self._event(SenderEvent.START)
        else:
            self._select(now, wanted, until=now + SELECT_SECONDS)

    def pause(self, now: float, *, paused: bool) -> None:
        """Hold the stream back, or let it go on where it was; beacons keep clients waiting meanwhile."""
        if paused is not self.paused:
            self.paused, self._beacon_due = paused, now

    def limit(self, cap: float) -> None:
        """Use at most ``cap`` bytes a second from now on, for the group and for unicast."""
        self._governor.limit(cap, begun=self.state is not SenderState.GATHER)

    def wish(self) -> float:
        """Bytes a second that it could use now if its cap let it; inf: all there are."""
        if self.paused or self.state is SenderState.CLOSED:
            return 0.0
        if self._roster.apart():
            return math.inf
        if self.state in (SenderState.TAIL, SenderState.LINGER):
            return RATE_PROBE
        return self._governor.wish() if self.state is not SenderState.GATHER else 0.0

    def join(self, now: float, name: str, key: bytes, held: ChunkSet | None = None) -> JoinAnswer:
        """A client joins, or joins anew, with a fresh 32-byte feedback ``key``; it has ``held``."""
        client = self._roster.join(now, name, key, held)
        self._event(SenderEvent.JOINED)
        out = self.state not in (SenderState.GATHER, SenderState.SELECT)
        head = self._carousel.block if self.state is SenderState.PASS else len(self._table)
        return JoinAnswer(client.number, key, head if out else 0)

    def abort(self) -> bytes:
        """End the cast at once; the signed datagram tells the group."""
        self._event(SenderEvent.ABORT)
        return encode_abort(Abort(self.session), self._key)

    def on_client(self, now: float, packet: Feedback | Bitmap | Fin) -> bytes | None:
        """A client's authenticated datagram; returns the datagram that answers it, if any."""
        client = self._roster.get(packet.client)
        if client is None:
            return None
        if isinstance(packet, Fin):
            return self._on_fin(client, packet)
        self._heard += 1
        # A replay is no sign of life.
        if packet.number <= client.last_number or client.kind is ClientClass.DONE:
            return None
        client.last_number, client.heard = packet.number, now
        if client.kind is ClientClass.GONE:
            client.kind = packet.kind
            self._event(SenderEvent.JOINED)
        if isinstance(packet, Bitmap):
            self._on_bitmap(client, packet)
            return None
        self._on_feedback(now, client, packet)
        return self._place(client, packet)

    # -- what to send

    def next_tx(self, now: float) -> Output:
        """What to send now, or how long to wait."""
        self._now = now
        self._advance(now)
        if self.state is SenderState.CLOSED:
            return Wait(IDLE_SECONDS)
        if now >= self._beacon_due:
            self._beacon_due = now + BEACON_SECONDS
            return Control(self._beacon(now))
        pause = self._governor.bucket.wait(now, self._governor.rate)
        if pause > 0:
            return Wait(min(pause, IDLE_SECONDS))
        burst = None if self.paused else self._parity(now) or self._source(now)
        if burst is None:
            self._governor.bucket.rest()
            return Wait(min(max(self._beacon_due - now, 0.001), IDLE_SECONDS))
        self._governor.spend(self._carousel.count(burst))
        return burst

    def unicast_speed(self) -> float:
        """Bytes a second that unicast may take beside the stream to the group."""
        return unicast_speed(self._governor.control.cap, self._governor.rate, busy=self._busy)

    def status(self) -> CastStatus:
        """The cast as it stood at the last `next_tx`."""
        busy = self._busy
        every = self.selector.every
        stored = every.stored_bytes
        clients = self._roster.status(self._now, len(every.chunks), stored)
        return CastStatus(
            state=self.state,
            rate=int(self._governor.rate) if busy else 0,
            sent=self._carousel.sent,
            repair=self._carousel.repair,
            lap=self._carousel.lap,
            head=self._carousel.block,
            clients=clients,
            stored=stored,
            eta=group_time_left(clients),
            heard=self._heard,
        )

    # -- inside

    @property
    def _busy(self) -> bool:
        """Whether the group is being sent to."""
        return self.state in (SenderState.PASS, SenderState.LAP) and not self.paused

    def _event(self, event: SenderEvent) -> None:
        self.state = SENDER[self.state].get(event, self.state)

    def _on_fin(self, client: Client, fin: Fin) -> bytes | None:
        if fin.root != self._root:
            return None
        client.kind = ClientClass.DONE
        return encode_fin_ack(FinAck(client.number, self.session, fin.number), self._key)

    def _place(self, client: Client, feedback: Feedback) -> bytes | None:
        """Where a client shall be, for one that is not in the group or shall not be."""
        place = client.standing.place
        if place is Place.GROUP and feedback.kind is not ClientClass.NET_SLOW:
            return None
        return encode_move(Move(client.number, self.session, feedback.number, place), self._key)

    def _on_feedback(self, now: float, client: Client, feedback: Feedback) -> None:
        seen = self._carousel.expand(feedback.seen)
        fooled = (feedback.seen - seen) & 0xFFFFFFFF != 0
        client.take(now, feedback, seen, self._carousel.pseq, fooled=fooled)
        if not client.listens:
            return
        # While there is nothing else to send, waiting for others' words saves nothing.
        resting = self.state is SenderState.TAIL
        due = now if resting else now + feedback_seconds(self._roster.active()) / 2
        for nack in feedback.nacks:
            block = nack.block
            if block >= len(self._table) or len(nack.counts) != self._table.stripes[block]:
                continue
            if not self._carousel.out(block, seen) or not client.follows(self.selector.number):
                continue
            need = np.frombuffer(nack.counts, np.uint8)
            # One client behind a bad link gets its blocks in laps, not the whole group its parity.
            outlier = client.loss > OUTLIER_LOSS and self._governor.group_loss < GROUP_LOSS
            if outlier or not self._repairs.need(block, need, seen, due):
                client.wants[block] = True

    def _on_bitmap(self, client: Client, bitmap: Bitmap) -> None:
        seen = self._carousel.expand(bitmap.seen)
        end = min(bitmap.base + bitmap.count, len(self._table))
        if bitmap.base >= end or bitmap.selection != self.selector.number:
            return
        bits = np.unpackbits(np.frombuffer(bitmap.bits, np.uint8), bitorder="little")
        span = slice(bitmap.base, end)
        out = self._carousel.sent_at[span]
        fresh = (out >= 0) & (out < seen)
        client.wants[span] = bits[: end - bitmap.base].astype(np.bool_) & fresh

    def _advance(self, now: float) -> None:
        """What the passing of time does."""
        if self._governor.due(now):
            self._roster.age(now)
            self._governor.judge(now, self._roster, self._carousel.pseq)
            if self._transport is Transport.AUTO:
                self._judge_links(now)
        if self.state is SenderState.TAIL:
            self._tail(now)
        elif self.state is SenderState.SELECT:
            self._inform(now)
        elif self.state is SenderState.LINGER and now >= self._linger_until:
            self._event(SenderEvent.LINGERED)

    def _tail(self, now: float) -> None:
        demand = self._roster.demand()
        if demand.any() or self._roster.outside():
            # Others' bitmaps are under way: one lap for all of them.
            if self._waiting_since is None:
                self._waiting_since = now
            elif now - self._waiting_since >= feedback_seconds(self._roster.active()) / 2:
                self._again(now, demand)
        elif self._roster.all_over() and self._repairs.idle():
            self._linger_until = now + LINGER_SECONDS
            self._event(SenderEvent.ALL_DONE)

    def _again(self, now: float, demand: NDArray[np.bool_]) -> None:
        """A lap over the blocks in demand; what is cheaper than that, or comes next: a selection."""
        selector = self.selector
        left = None
        if self._repairs.idle() and not selector.spent:
            left = self._roster.left(self._carousel.sent_at)
        if left is not None and (not demand.any() or selector.worth(left, demand)):
            waited = now - (self._waiting_since or now)
            if not self._roster.caught_up(self._carousel.pseq) and waited < SELECT_SECONDS:
                return
            self._carousel.lap += 1
            self._select(now, left, until=now + SELECT_SECONDS)
        elif demand.any():
            self._waiting_since = None
            self._carousel.again(int(np.argmax(demand)))
            self._beacon_due = now
            self._event(SenderEvent.DEMAND)

    def _select(self, now: float, chunks: ChunkSet, until: float) -> None:
        """Go on to a selection of these; its data waits until clients know it, at most ``until``."""
        self._roster.select(chunks, self._carousel.sent_at)
        self._table = self.selector.table
        self._repairs = Repairs(self._table)
        self._carousel.turn_to(self._table)
        self._waiting_since, self._select_until = None, until
        self._beacon_due = now
        self._event(SenderEvent.SELECTED)

    def _inform(self, now: float) -> None:
        """Begin the pass over a selection when all know it; who joins until then is still counted."""
        late = now >= self._select_until
        if not late and not self._roster.informed():
            return
        left = None
        if self._roster.outside() and not late:
            left = self._roster.left(self._carousel.sent_at)
        if left is not None and not self.selector.spent:
            self._select(now, left, until=self._select_until)
        else:
            self._event(SenderEvent.START)

    def _judge_links(self, now: float) -> None:
        members = [(c.standing, c.last) for c in self._roster if c.last is not None and not c.over]
        done = len(self._roster) > self._roster.active()
        self._stragglers.judge(now, members, others=done, busy=self._busy)

    def _beacon(self, now: float) -> bytes:
        self._number += 1
        active = self._roster.active()
        starting = self._governor.control.slow_start and now < self._started + START_SECONDS
        over = self.state in (SenderState.TAIL, SenderState.LINGER, SenderState.CLOSED)
        beacon = Beacon(
            self.session,
            self._number,
            self.state,
            int(now * 1e6),
            self._carousel.pseq & 0xFFFFFFFF,
            self._carousel.block,
            len(self._table) if over else self._carousel.block,
            self._carousel.lap,
            active,
            0 if self.paused else max(int(self._governor.rate), KILO),
            int(feedback_seconds(active) * 1000),
            int(status_seconds(active, starting=starting) * 1000),
            self._repairs.adverts(),
            self.selector.number,
            self.selector.digest,
        )
        # Who hears beacons then hears data, which is hardly longer.
        return encode_beacon(beacon, self._key, self._table.datagram_size - 1)

    def _burst_packets(self) -> int:
        return burst_packets(self._governor.rate, self._table.datagram_size)

    def _parity(self, now: float) -> ParityBurst | None:
        block = self._repairs.ready(now)
        if block is None:
            return None
        most = min(self._burst_packets(), BURST_BYTES_MAX // self._table.datagram_size)
        pseq = self._carousel.pseq
        stripes, rows = self._repairs.take(block, most, pseq)
        return ParityBurst(block, stripes, rows, FLAG_PARITY | FLAG_REPAIR, pseq)

    def _source(self, now: float) -> SourceBurst | None:
        if self.state not in (SenderState.PASS, SenderState.LAP) or self._settling(now):
            return None
        carousel = self._carousel
        if carousel.over or self._transport is Transport.UNICAST:
            self._end_lap()
            return None
        block = carousel.block
        if carousel.begins:
            self._repairs.restart(block)
            self._roster.served(block)
        burst = carousel.source(self._burst_packets())
        if carousel.block_ended():
            if self.state is SenderState.PASS:
                self._repairs.sent(now, block, now - 2 * feedback_seconds(self._roster.active()))
            wanted = self._roster.demand() if self.state is SenderState.LAP else None
            if not carousel.step(wanted):
                self._end_lap()
        return burst

    def _settling(self, now: float) -> bool:
        """Whether somebody who has just joined may not listen yet."""
        if now < self._settled and not self._roster.spoken():
            return True
        self._settled = 0.0
        return False

    def _end_lap(self) -> None:
        if self._carousel.lap > 1:
            self._roster.lap_ended()
        # The news that all is out is what clients wait for.
        self._beacon_due = 0.0
        self._event(SenderEvent.SENT_ALL)
