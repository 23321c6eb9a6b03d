"""Casts to thousands of receivers in virtual time: both real cores, headers alone, no symbol bytes.

What it measures is the protocol's arithmetic: bytes sent for an image, feedback datagrams a second.
Receivers look at their sockets every few milliseconds, as the real ones do, and what is lost on the
way is drawn for all of them at once: that is what makes thousands of them affordable.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from castcore.cast import wire
from castcore.cast.actions import Deliver, Fetch, Flush, Repair, Send
from castcore.cast.blocks import BlockTable
from castcore.cast.data import HEADER
from castcore.cast.outputs import Control, ParityBurst, SourceBurst, Wait
from castcore.cast.receiver import ReceiverCore
from castcore.cast.sender import SenderCore
from castcore.cast.states import ReceiverState
from castcore.trust import SigningKey, digest

from tests.support.castloss import Loss, loss_of

SESSION = 0xCE11
ROOT = digest(b"cell")
KEY = SigningKey(bytes(range(32)))
# A receiver works so often; its datagrams gather so long (`castcore.edge.cast.receiver.GATHER_MAX`).
STEP = 0.02
GATHER = 0.004
# One chunk that a block of the protocol holds four of.
CHUNK = 1_000_000
RATE = 110e6
# Clients join by TLS, so many a second, before the pass begins.
JOINS_A_SECOND = 500


@dataclass(frozen=True)
class Outcome:
    """``ratio``: symbol bytes sent over the image's; ``feedback``: datagrams of the busiest second."""

    ratio: float
    feedback: int
    seconds: float
    unicast: int
    done: int
    lap: int


class Cell:
    """``clients`` receivers of ``megabytes``, each losing ``share`` in bursts of mean ``burst``."""

    def __init__(
        self, clients: int, share: float, *, burst: int = 1, megabytes: int = 60, seed: int = 1
    ) -> None:
        self._random = random.Random(seed)
        self._table = BlockTable.build([CHUNK] * megabytes)
        self._sender = SenderCore(self._table, SESSION, KEY, ROOT, RATE)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = self._unicast = 0
        self._heard: deque[float] = deque()
        self._most_heard = 0
        self._loss: Loss = loss_of(clients, share, burst, seed)
        self._share = share
        self._waiting: list[np.ndarray] = []
        self._waiting_since = 0.0
        self._done = 0
        self._cores = []
        for number in range(clients):
            core = ReceiverCore(self._table, ROOT, buffers=256, jitter=self._random.random())
            self._cores.append(core)
            self._at(number / JOINS_A_SECOND, partial(self._join, core, number))
        self._begins = clients / JOINS_A_SECOND + 0.15

    def run(self, until: float = 120.0) -> Outcome:
        """Cast to the end, or ``until`` so many seconds have passed."""
        now = 0.0
        self._at(0.0, self._transmit)
        self._at(self._begins, self._sender.start)
        while self._events and now < until and self._done < len(self._cores):
            now, _, what = heapq.heappop(self._events)
            what(now)
        status = self._sender.status()
        ratio = status.sent / self._table.stored_bytes
        return Outcome(
            ratio, self._most_heard, now - self._begins, self._unicast, self._done, status.lap
        )

    def _at(self, when: float, what: Callable[[float], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, what))

    # -- from the sender

    def _transmit(self, now: float) -> None:
        if self._waiting and now - self._waiting_since >= GATHER:
            self._arrive(now)
        out = self._sender.next_tx(now)
        if isinstance(out, Wait):
            self._at(now + max(out.seconds, 1e-4), self._transmit)
            return
        if isinstance(out, Control):
            # What was sent before it arrives before it.
            self._arrive(now)
            beacon = wire.open_from_server(out.packet, SESSION, KEY.public)
            for core in self._cores:
                if self._random.random() >= self._share:
                    core.on_control(now, beacon)
        else:
            if not self._waiting:
                self._waiting_since = now
            self._waiting.append(self._headers(out))
        self._at(now + 1e-6, self._transmit)

    def _arrive(self, now: float) -> None:
        """Every receiver looks at what has gathered in its socket."""
        if not self._waiting:
            return
        headers = np.concatenate(self._waiting)
        self._waiting = []
        kept = self._loss.kept(len(headers))
        whole = np.logical_and.reduce(kept, axis=1)
        for number, core in enumerate(self._cores):
            core.on_headers(now, headers if whole[number] else headers[kept[number]])

    def _headers(self, burst: SourceBurst | ParityBurst) -> np.ndarray:
        stripes = int(self._table.stripes[burst.block])
        if isinstance(burst, SourceBurst):
            index = np.arange(burst.first, burst.first + burst.count)
            of, rows = index % stripes, index // stripes
        else:
            of, rows = burst.stripes.astype(np.int64), burst.rows.astype(np.int64)
        made = np.zeros(len(rows), HEADER)
        made["vt"], made["flags"], made["session"] = 0x11, burst.flags, SESSION
        made["block"], made["symbols"] = burst.block, self._table.symbols[burst.block]
        made["stripe"], made["row"] = of, rows
        made["pseq"] = burst.pseq + np.arange(len(rows))
        return made

    # -- from the receivers

    def _join(self, core: ReceiverCore, number: int, now: float) -> None:
        answer = self._sender.join(now, f"pc{number}", bytes([1 + number % 255]) * 32)
        core.on_joined(now, SESSION, answer)
        self._at(now + self._random.random() * STEP, partial(self._work, core))

    def _work(self, core: ReceiverCore, now: float) -> None:
        for action in core.poll(now):
            if isinstance(action, Send):
                self._answer(now, core, action.packet)
            elif isinstance(action, Deliver):
                core.on_put(action.chunk, good=True)
            elif isinstance(action, Repair):
                core.on_repaired(action.block, action.stripe, len(action.lost))
            elif isinstance(action, Fetch):
                self._unicast += 1
                core.on_fetched(now, action.chunk, good=True)
            elif isinstance(action, Flush):
                core.on_flushed()
        if core.state is ReceiverState.DONE:
            self._done += 1
        else:
            self._at(now + STEP, partial(self._work, core))

    def _answer(self, now: float, core: ReceiverCore, packet: bytes) -> None:
        self._heard.append(now)
        while now - self._heard[0] >= 1.0:
            self._heard.popleft()
        self._most_heard = max(self._most_heard, len(self._heard))
        reply = self._sender.on_client(now, wire.open_from_client(packet, SESSION, self._sender.key_of))
        if reply is not None:
            core.on_control(now, wire.open_from_server(reply, SESSION, KEY.public))


def run_cell(clients: int, share: float, burst: int, megabytes: int) -> Outcome:
    """One cell from beginning to end, for a process of its own."""
    return Cell(clients, share, burst=burst, megabytes=megabytes).run()
