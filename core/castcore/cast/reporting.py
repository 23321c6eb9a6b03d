"""What a receiver tells the sender: its counters, what its blocks need, the blocks it lacks whole.

Feedback is a state, not an event: it is sent again while it holds, and a lost one harms nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from castcore.cast.apart import APART
from castcore.cast.arrival import Arrival
from castcore.cast.blocks import BlockTable
from castcore.cast.constants import (
    APART_STATUS_SECONDS,
    BITMAP_BITS_MAX,
    BITMAP_REPEAT_SECONDS,
    FEEDBACK_JITTER,
    FEEDBACK_SECONDS,
    NACKS_MAX,
    STATUS_SECONDS_MIN,
)
from castcore.cast.holding import Holding
from castcore.cast.messages import Beacon, Bitmap, Feedback, FeedbackFlag, StripeCounts
from castcore.cast.parity import REPAIR_MAX
from castcore.cast.states import ClientClass, ReceiverState
from castcore.cast.values import JoinAnswer
from castcore.cast.wire import encode_bitmap, encode_feedback

# Parity was asked for so often in vain: the whole block is asked for instead.
ASKED_MAX = 25

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class View:
    """What a report is made from. ``closed`` and ``lacking`` are by block; times are seconds."""

    state: ReceiverState
    session: int
    answer: JoinAnswer
    arrival: Arrival
    beacon: Beacon | None
    beacon_age: float
    closed: Mask
    lacking: Mask
    have_blocks: int
    chunks: int
    held: Mapping[int, Holding]
    free: int
    selection: int
    leaks: bool = False

    @property
    def period(self) -> float:
        """Needs are told this often."""
        return self.beacon.feedback_ms / 1000 if self.beacon else FEEDBACK_SECONDS

    @property
    def status_period(self) -> float:
        """Counters are told this often."""
        period = self.beacon.status_ms / 1000 if self.beacon else STATUS_SECONDS_MIN
        return max(period, APART_STATUS_SECONDS) if self.state in APART else period


class Reporter:
    """When to report and what; ``jitter`` (0..1) is this client's place among the others."""

    def __init__(self, table: BlockTable, jitter: float) -> None:
        self._jitter = jitter
        self._number = self._lost = 0
        self._due = self._need_due = self._status_due = self._bitmap_due = 0.0
        self._said, self._spread = 0.0, 1.0
        self._holes = np.zeros(len(table), np.bool_)
        self._shed = np.zeros(len(table), np.bool_)
        self._shed_count = self._lost = 0
        self._asked: dict[int, int] = {}

    def joined(self, now: float) -> None:
        """Numbers begin anew; the first report is due at a random moment of one period."""
        self._number = self._lost = 0
        self._due = self._need_due = self._status_due = self._bitmap_due = now
        self._holes[:] = False
        self._asked.clear()

    def follow(self, now: float, table: BlockTable) -> None:
        """Blocks are those of ``table`` from now on; a report that says so is due at once."""
        self._due = self._need_due = self._status_due = self._bitmap_due = now
        self._holes = np.zeros(len(table), np.bool_)
        self._shed = np.zeros(len(table), np.bool_)
        self._asked.clear()

    def hasten(self, status_period: float) -> None:
        """Counters are wanted this often now: no later than so long after the last report."""
        at = self._said + status_period * self._spread
        self._due, self._status_due = min(self._due, at), min(self._status_due, at)

    def shed(self, block: int) -> None:
        """A block is being ignored for want of a buffer."""
        if not self._shed[block]:
            self._shed[block] = True
            self._shed_count += 1

    def due(self, now: float) -> bool:
        """Whether `poll` may have something to say."""
        return now >= self._due

    def poll(self, now: float, view: View) -> list[bytes]:
        """The datagrams to send now."""
        if now < self._due or not view.answer.feedback_key or view.state is ReceiverState.SILENT:
            return []
        spread = 1 + FEEDBACK_JITTER * (2 * self._jitter - 1)
        self._jitter = (self._jitter * 997 + 0.618) % 1.0
        self._said, self._spread = now, spread
        self._due = now + min(view.period, view.status_period) * spread
        needs_due = now >= self._need_due
        packets = []
        lost = view.arrival.net_lost + view.arrival.host_drop
        nacks, holes = self._needs(view, view.closed & view.lacking) if needs_due else ([], self._holes)
        if needs_due:
            self._need_due = now + view.period * spread
        if nacks or (needs_due and lost > self._lost) or now >= self._status_due:
            packets.append(self._feedback(view, nacks))
            self._lost = lost
            self._status_due = now + view.status_period * spread
        changed = not np.array_equal(holes, self._holes)
        if view.beacon is not None and (changed or (holes.any() and now >= self._bitmap_due)):
            self._holes, self._bitmap_due = holes, now + BITMAP_REPEAT_SECONDS
            packets += self._bitmaps(view, holes)
        return packets

    def _needs(self, view: View, wanted: Mask) -> tuple[list[StripeCounts], Mask]:
        """The closed blocks that parity can complete, and those that must be sent again."""
        holes = wanted.copy()
        queued = {a.block: a.counts for a in view.beacon.adverts} if view.beacon else {}
        nacks: list[StripeCounts] = []
        # A lap that reopens a block gives it a new chance.
        self._asked = {block: n for block, n in self._asked.items() if wanted[block]}
        for block in sorted(b for b in view.held if wanted[b]):
            need = view.held[block].need()
            if need.max(initial=0) > REPAIR_MAX or self._asked.get(block, 0) >= ASKED_MAX:
                continue
            holes[block] = False
            covered = np.frombuffer(queued.get(block, bytes(len(need))), np.uint8)
            if need.any() and len(nacks) < NACKS_MAX and (need > covered[: len(need)]).any():
                self._asked[block] = self._asked.get(block, 0) + 1
                nacks.append(StripeCounts(block, need.astype(np.uint8).tobytes()))
        return nacks, holes

    def _feedback(self, view: View, nacks: list[StripeCounts]) -> bytes:
        self._number += 1
        beacon, arrival = view.beacon, view.arrival
        feedback = Feedback(
            client=view.answer.client_number,
            session=view.session,
            number=self._number,
            kind=_kind(view.state),
            flags=_flags(view),
            echo_time_us=beacon.time_us if beacon else 0,
            echo_delay_us=int(view.beacon_age * 1e6) if beacon else 0,
            seen=arrival.seen,
            received=arrival.received,
            net_lost=arrival.net_lost,
            host_drop=arrival.host_drop,
            shed_blocks=self._shed_count,
            have_blocks=view.have_blocks,
            chunks=view.chunks,
            buffer_mib=view.free * 4,
            nacks=tuple(nacks),
            selection=view.selection,
        )
        return encode_feedback(feedback, view.answer.feedback_key)

    def _bitmaps(self, view: View, holes: Mask) -> list[bytes]:
        packets = []
        for base in range(0, len(holes), BITMAP_BITS_MAX):
            part = holes[base : base + BITMAP_BITS_MAX]
            self._number += 1
            bitmap = Bitmap(
                client=view.answer.client_number,
                session=view.session,
                number=self._number,
                kind=_kind(view.state),
                seen=view.arrival.seen,
                base=base,
                count=len(part),
                bits=np.packbits(part, bitorder="little").tobytes(),
                selection=view.selection,
            )
            packets.append(encode_bitmap(bitmap, view.answer.feedback_key))
        self._shed &= holes
        return packets


_KINDS = {
    ReceiverState.UNICAST: ClientClass.UNICAST,
    ReceiverState.MOVED: ClientClass.NET_SLOW,
    ReceiverState.PARKED: ClientClass.NET_SLOW,
    ReceiverState.SHEDDING: ClientClass.DISK_SLOW,
}


def _kind(state: ReceiverState) -> ClientClass:
    return _KINDS.get(state, ClientClass.OK)


def _flags(view: View) -> FeedbackFlag:
    shedding = FeedbackFlag.SHEDDING if view.state is ReceiverState.SHEDDING else FeedbackFlag(0)
    return shedding | (FeedbackFlag.LEAK if view.leaks else FeedbackFlag(0))
