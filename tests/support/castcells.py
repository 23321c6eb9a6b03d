"""Casts to hundreds of receivers in virtual time: both real cores, headers alone, no symbol bytes.

What it measures is the protocol's arithmetic: bytes sent for an image, feedback datagrams a second.
"""

from __future__ import annotations

import heapq
import random
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

SESSION = 0xCE11
ROOT = digest(b"cell")
KEY = SigningKey(bytes(range(32)))
STEP = 0.02


@dataclass(frozen=True)
class Outcome:
    """``ratio``: symbol bytes sent over the image's; ``feedback``: the busiest second's datagrams."""

    ratio: float
    feedback: int
    seconds: float
    unicast: int
    done: int


class _Loss:
    """Which packets of a stream get lost: independent ones, or bursts of mean ``burst``."""

    def __init__(self, share: float, burst: int, seed: int) -> None:
        self._share, self._burst = share, burst
        self._random = np.random.default_rng(seed)
        self._start = self._end = self._gap()

    def _gap(self) -> int:
        mean = self._burst * (1 - self._share) / self._share if self._share else 1 << 60
        return int(self._random.geometric(min(1 / mean, 1.0)))

    def kept(self, pseq: int, count: int) -> np.ndarray:
        if self._burst == 1:
            return self._random.random(count) >= self._share
        kept = np.ones(count, np.bool_)
        while self._start < pseq + count:
            if self._end <= self._start:
                self._end = self._start + int(self._random.geometric(1 / self._burst))
            kept[max(self._start - pseq, 0) : max(self._end - pseq, 0)] = False
            if self._end > pseq + count:
                break
            self._start = self._end + self._gap()
        return kept


class Cell:
    """``clients`` receivers of ``megabytes``, each losing ``share`` in bursts of mean ``burst``."""

    def __init__(
        self, clients: int, share: float, *, burst: int = 1, megabytes: int = 60, seed: int = 1
    ) -> None:
        self._random = random.Random(seed)
        self._table = BlockTable.build([1_000_000] * megabytes)
        self._sender = SenderCore(self._table, SESSION, KEY, ROOT, 110e6)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = self._unicast = 0
        self._heard: dict[int, int] = {}
        self._loss = [_Loss(share, burst, seed * 1000 + i) for i in range(clients)]
        self._share = share
        self._cores = []
        for number in range(clients):
            core = ReceiverCore(self._table, ROOT, buffers=256, jitter=self._random.random())
            answer = self._sender.join(0.0, f"pc{number}", bytes([1 + number % 255]) * 32)
            core.on_joined(0.0, SESSION, answer)
            self._cores.append(core)

    def run(self, until: float = 120.0) -> Outcome:
        now = 0.0
        self._at(0.0, self._transmit)
        self._at(0.15, self._sender.start)
        for core in self._cores:
            self._at(self._random.random() * STEP, partial(self._work, core))
        while self._events and now < until and not self._over():
            now, _, what = heapq.heappop(self._events)
            what(now)
        status = self._sender.status()
        done = sum(core.state is ReceiverState.DONE for core in self._cores)
        ratio = status.sent / self._table.stored_bytes
        return Outcome(ratio, max(self._heard.values(), default=0), now, self._unicast, done)

    def _over(self) -> bool:
        return all(core.state is ReceiverState.DONE for core in self._cores)

    def _at(self, when: float, what: Callable[[float], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, what))

    def _transmit(self, now: float) -> None:
        out = self._sender.next_tx(now)
        if isinstance(out, Wait):
            self._at(now + max(out.seconds, 1e-4), self._transmit)
            return
        if isinstance(out, Control):
            beacon = wire.open_from_server(out.packet, SESSION, KEY.public)
            for core in self._cores:
                if self._random.random() >= self._share:
                    core.on_control(now, beacon)
        else:
            headers = self._headers(out)
            for core, loss in zip(self._cores, self._loss, strict=True):
                kept = loss.kept(out.pseq, len(headers))
                core.on_headers(now, headers if kept.all() else headers[kept])
        self._at(now + 1e-6, self._transmit)

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
        if core.state is not ReceiverState.DONE:
            self._at(now + STEP, partial(self._work, core))

    def _answer(self, now: float, core: ReceiverCore, packet: bytes) -> None:
        self._heard[int(now)] = self._heard.get(int(now), 0) + 1
        reply = self._sender.on_client(now, wire.open_from_client(packet, SESSION, self._sender.key_of))
        if reply is not None:
            core.on_control(now, wire.open_from_server(reply, SESSION, KEY.public))
