"""What parity a sender still owes: one account per block that somebody needs symbols of.

Feedback states what a client needs as of a packet it has seen; parity that was sent after that
packet, or is queued, is already on its way to that client. So a repeated or lost feedback changes
nothing, and the group gets the maximum over its clients, not the sum.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from castcore.cast.blocks import BlockTable
from castcore.cast.constants import ADVERTS_SIZE_MAX, PARITY_ROWS, SOURCE_ROWS, STRIPES_MAX
from castcore.cast.messages import StripeCounts

Counts = NDArray[np.int64]
Octets = NDArray[np.uint8]

# Parity before anybody asks: rows that four of five of the last blocks needed in every stripe. It is
# learned from blocks sent without any; afterwards every eighth is, so that the habit can end.
HABIT_BLOCKS, HABIT_MIN, HABIT_SHARE = 50, 16, 0.8
HABIT_MAX = 24
PROBE_EVERY = 8

ADVERTS_MAX = ADVERTS_SIZE_MAX // (STRIPES_MAX + 5)


@dataclass
class _Account:
    """One block: rows queued and issued per stripe, the next row, and when a batch left.

    ``needed``: what the neediest client needed of every stripe, all told.
    """

    queued: Counts
    issued: Counts
    row: Counts
    needed: Counts
    due: float
    batches: list[tuple[int, Counts]] = field(default_factory=list)

    def in_flight(self, seen: int) -> Counts:
        """Rows per stripe that may still be on their way to a client that has seen ``seen`` packets."""
        sent = [counts for end, counts in self.batches if end > seen]
        return sum(sent, np.zeros_like(self.queued))


class Repairs:
    """The parity accounts of a cast; packets are counted without wrapping."""

    def __init__(self, table: BlockTable) -> None:
        self._table = table
        self._accounts: dict[int, _Account] = {}
        self._pending: set[int] = set()
        self._plain: deque[tuple[float, int]] = deque()

    def need(self, block: int, need: Octets, seen: int, due: float) -> bool:
        """A client that has seen ``seen`` packets needs ``need`` symbols per stripe.

        What is missing is queued to leave at ``due``. False: parity is used up, the block must be sent
        again.
        """
        account = self._account(block, due)
        flying = account.in_flight(seen)
        np.maximum(account.needed, need + account.issued - flying, out=account.needed)
        extra = np.maximum(need - flying - account.queued, 0)
        if (account.issued + account.queued + extra > PARITY_ROWS).any():
            return False
        if extra.any() and not account.queued.any():
            account.due = due
        account.queued += extra
        if account.queued.any():
            self._pending.add(block)
        return True

    def sent(self, now: float, block: int, settled: float) -> None:
        """The source symbols of ``block`` are out; queue the parity that such blocks always needed.

        Blocks sent before ``settled`` have been asked for by now, if they ever are.
        """
        habit = self._habit(settled)
        if habit and block % PROBE_EVERY:
            account = self._account(block, now)
            np.maximum(account.queued, habit, out=account.queued)
            account.due = now
            self._pending.add(block)
            return
        self._plain.append((now, block))
        while len(self._plain) > 2 * HABIT_BLOCKS:
            self._plain.popleft()

    def _habit(self, settled: float) -> int:
        known = [block for at, block in self._plain if at < settled][-HABIT_BLOCKS:]
        if len(known) < HABIT_MIN:
            return 0
        accounts = (self._accounts.get(block) for block in known)
        least = sorted(int(a.needed.min()) if a else 0 for a in accounts)
        return min(least[int((1 - HABIT_SHARE) * len(least))], HABIT_MAX)

    def _account(self, block: int, due: float) -> _Account:
        account = self._accounts.get(block)
        if account is None:
            queued, issued, row, needed = np.zeros((4, int(self._table.stripes[block])), np.int64)
            account = self._accounts[block] = _Account(queued, issued, row, needed, due)
        return account

    def ready(self, now: float) -> int | None:
        """The lowest block whose parity may leave now."""
        return min((b for b in self._pending if self._accounts[b].due <= now), default=None)

    def take(self, block: int, most: int, pseq: int) -> tuple[Octets, Octets]:
        """The stripes and rows of up to ``most`` parity symbols, leaving as packet ``pseq`` and on."""
        account = self._accounts[block]
        stripes = np.repeat(np.arange(len(account.queued)), account.queued)
        turns = np.concatenate([np.arange(n) for n in account.queued])
        # Stripes in turn, as source symbols are: a run of lost packets takes little of each.
        order = np.argsort(turns, kind="stable")[:most]
        stripes, turns = stripes[order], turns[order]
        rows = SOURCE_ROWS + (account.row[stripes] + turns) % PARITY_ROWS
        counts = np.bincount(stripes, minlength=len(account.queued))
        account.queued -= counts
        account.issued += counts
        account.row = (account.row + counts) % PARITY_ROWS
        account.batches.append((pseq + len(stripes), counts))
        if not account.queued.any():
            self._pending.discard(block)
        return stripes.astype(np.uint8), rows.astype(np.uint8)

    def restart(self, block: int) -> None:
        """The whole block is sent again: nothing is owed, and all parity rows are usable once more."""
        account = self._accounts.get(block)
        if account is not None:
            account.queued[:] = account.issued[:] = 0
            account.batches.clear()
            self._pending.discard(block)

    def adverts(self) -> tuple[StripeCounts, ...]:
        """What is queued, newest block first: clients covered by it need not ask."""
        blocks = sorted(self._pending, reverse=True)
        return tuple(
            StripeCounts(b, self._accounts[b].queued.astype(np.uint8).tobytes())
            for b in blocks[:ADVERTS_MAX]
        )

    def idle(self) -> bool:
        """Whether nothing is queued."""
        return not self._pending
