"""A cast over a bad network in memory and virtual time: both real cores, no socket, no clock."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
from castcore.cast import wire
from castcore.cast.actions import (
    Action,
    Ask,
    Deliver,
    Fetch,
    LookForLeak,
    Membership,
    Rejoin,
    Release,
    Repair,
    Select,
    Send,
)
from castcore.cast.blocks import BlockTable
from castcore.cast.chunkset import ChunkSet
from castcore.cast.data import FLAG_PARITY, HEADER, datagram
from castcore.cast.outputs import Control, ParityBurst, SourceBurst, Wait
from castcore.cast.parity import encode, repair
from castcore.cast.protection import Protection, tag_burst
from castcore.cast.receiver import ReceiverCore
from castcore.cast.sender import SenderCore
from castcore.cast.sieve import Sieve
from castcore.cast.states import ReceiverState
from castcore.cast.values import JoinAnswer
from castcore.errors import BadPacket
from castcore.trust import SigningKey, digest

from tests.support.castimage import Image

SESSION = 0xC0FFEE
ROOT = digest(b"the image")
KEY = SigningKey(bytes(range(32)))
STEP = 0.005


@dataclass(frozen=True)
class Link:
    """How one client's network treats it: shares of 0..1, seconds; ``largest`` datagram that passes."""

    loss: float = 0.0
    feedback_loss: float = 0.0
    duplicate: float = 0.0
    jitter: float = 0.0
    corrupt: float = 0.0
    rate: float = float("inf")
    queue: float = 0.05
    repair_seconds: float = 0.0
    write_seconds: float = 0.0
    data: bool = True
    largest: int = 65507
    snooping: bool = True


class SimClient:
    """A receiver core with its buffers and its disk."""

    def __init__(
        self,
        sim: Sim,
        name: str,
        link: Link,
        buffers: int,
        held: Collection[int],
        claims: Collection[int],
    ) -> None:
        self.sim, self.name, self.link = sim, name, link
        count = len(sim.image.chunks)
        self.core = ReceiverCore(
            sim.image.table,
            ROOT,
            buffers=buffers,
            jitter=sim.random.random(),
            held=ChunkSet.numbered(count, held),
        )
        self.claims = ChunkSet.numbered(count, claims)
        self.table = sim.image.table
        self.key = bytes([len(sim.clients) + 1]) * 32
        self.buffers: dict[int, np.ndarray] = {}
        self.capacity, self.most_buffers = buffers, 0
        self.largest = self.asked = 0
        self.sieve = Sieve(sim.image.table)
        self.disk = {chunk: sim.image.chunks[chunk] for chunk in held if sim.image.chunks[chunk]}
        self.joined = self.alive = False
        self.session = SESSION
        self.selects = True
        self.member = True
        self.moves = 0
        self.finished_at = 0.0
        self.free_at = self.disk_free_at = 0.0
        # How far its clock is ahead of the simulation's: a machine that slept leaps.
        self.lead = 0.0

    def join(self, now: float) -> None:
        self.joined = self.alive = True
        self.session = self.sim.sender.session
        held = ChunkSet.decode((self.core.ledger.held | self.claims).encode(), self.claims.count)
        answer = self.sim.join(now, self.name, self.key, held)
        self.sieve.renew(answer.protection)
        self.core.on_joined(now + self.lead, self.session, answer)

    def hear(self, now: float, packet: bytes) -> None:
        """A datagram or burst from the group."""
        if packet[0] != 0x11:
            try:
                control = wire.open_from_server(packet, self.session, KEY.public)
                self.core.on_control(now + self.lead, control)
            except BadPacket:
                return
            self._note_end(now)
            return
        self._follow()
        try:
            headers, symbols = self.sieve.sift(memoryview(bytearray(packet)))
        except BadPacket:
            return
        for scatter in self.core.on_headers(now + self.lead, headers):
            self._buffer(scatter.block)[scatter.rows] = symbols[scatter.picks]

    def _follow(self) -> None:
        if self.core.table is not self.table:
            self.table = self.core.table
            self.buffers.clear()
            self.sieve.follow(self.table)

    def work(self, now: float) -> None:
        if not self.joined or not self.alive or self.finished_at:
            return
        for action in self.core.poll(now + self.lead):
            if isinstance(action, Send):
                self.sim.to_server(now, self, action.packet)
            elif isinstance(action, Rejoin):
                self._rejoin(now)
            elif isinstance(action, Select):
                self._select(now, action)
            else:
                self._act(now, action)
        self._note_end(now)

    def _rejoin(self, now: float) -> None:
        if self.sim.up:
            self.join(now)
        else:
            self.sim.at(now + 0.5, self._rejoin)

    def _select(self, now: float, wanted: Select) -> None:
        """Asked for and answered over TLS, which takes a moment and may be too late."""
        if not self.selects:
            return
        selector = self.sim.sender.selector
        table = selector.table if selector.number == wanted.number and self.sim.up else None
        later = now + 0.003 + self.sim.random.random() * 0.05
        self.sim.at(later, lambda t: self.core.on_selected(t + self.lead, wanted.number, table))

    def _note_end(self, now: float) -> None:
        if self.core.state is ReceiverState.DONE and not self.finished_at:
            self.finished_at = now

    def _act(self, now: float, action: Action) -> None:
        chunks = self.sim.image.chunks
        if isinstance(action, Deliver):
            held = self.buffers[action.block].reshape(-1)
            view = held[action.start : action.start + action.length]
            if self.link.write_seconds:
                self.disk_free_at = max(self.disk_free_at, now) + self.link.write_seconds
                self.sim.at(self.disk_free_at, lambda _: self._put(action.chunk, view))
            else:
                self._put(action.chunk, view)
        elif isinstance(action, Repair):
            if self.link.repair_seconds:
                table = self.core.table
                self.sim.at(now + self.link.repair_seconds, lambda _: self._repair(action, table))
            else:
                self._repair(action, self.core.table)
        elif isinstance(action, Release):
            self.buffers.pop(action.block, None)
            self.sieve.vetting.forget(action.block)
        elif isinstance(action, Ask):
            asked = self.core.table
            self.sim.at(now + 0.005, lambda t: self._vet(t, action.block, asked))
        elif isinstance(action, Fetch):
            size = len(chunks[action.chunk])
            self.free_at = max(self.free_at, now) + size / self.link.rate
            self.sim.at(self.free_at, lambda t: self._fetched(t, action.chunk))
        elif isinstance(action, Membership):
            self.member = action.joined
            self.moves += not action.joined
        elif isinstance(action, LookForLeak):
            self.core.on_leak(leaks=not self.link.snooping)
        else:
            self.core.on_flushed()

    def _put(self, chunk: int, view: np.ndarray) -> None:
        data = view.tobytes()
        good = data == self.sim.image.chunks[chunk]
        if good:
            self._write(chunk, data)
        self.core.on_put(chunk, good=good)

    def _vet(self, now: float, block: int, table: BlockTable) -> None:
        if table is not self.core.table:
            return
        self._follow()
        if not self.sim.up:
            self.core.on_unvetted(now + self.lead, block)
            return
        self.asked += 1
        self.sieve.vetting.learn(block, self.sim.image.digests(table, block))
        present = self.core.present(block)
        self.core.on_vetted(block, self.sieve.vetting.wrong(block, present, self.buffers[block]))

    def _fetched(self, now: float, chunk: int) -> None:
        if self.sim.up:
            self._write(chunk, self.sim.image.chunks[chunk])
        self.core.on_fetched(now + self.lead, chunk, good=self.sim.up)

    def _repair(self, action: Repair, table: BlockTable) -> None:
        if table is not self.core.table:
            return
        held = self.buffers[action.block]
        n, stripes = int(table.symbols[action.block]), int(table.stripes[action.block])
        rows = held[action.stripe : n : stripes]
        given = held[n + action.stripe * 64 + action.parity]
        rows[action.lost] = repair(rows, action.lost, action.parity, given)
        self.core.on_repaired(action.block, action.stripe, len(action.lost))

    def _write(self, chunk: int, data: bytes) -> None:
        assert chunk not in self.disk, "a chunk was written twice"
        self.disk[chunk] = data

    def _buffer(self, block: int) -> np.ndarray:
        if block not in self.buffers:
            table = self.table
            rows = int(table.symbols[block]) + int(table.stripes[block]) * 64
            self.buffers[block] = np.zeros((rows, table.symbol_size), np.uint8)
            self.most_buffers = max(self.most_buffers, len(self.buffers))
        return self.buffers[block]


class Sim:
    """The sender, the clients and everything under way between them, ordered by time."""

    def __init__(self, image: Image, *, seed: int = 1, cap: float = 100e6) -> None:
        self.image, self.random, self._cap = image, random.Random(seed), cap
        self.numbers = np.random.default_rng(seed)
        self.sender = SenderCore(image.table, SESSION, KEY, ROOT, cap)
        self.clients: list[SimClient] = []
        self.up = True
        self.now = self.lead = 0.0
        self.source_bytes = 0
        self.protection = Protection()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = 0

    def client(
        self,
        link: Link | None = None,
        *,
        buffers: int = 64,
        joins_at: float = 0.0,
        held: Collection[int] = (),
        claims: Collection[int] = (),
    ) -> SimClient:
        """A client that has ``held`` already, and says that it has ``claims`` too."""
        name = f"pc{len(self.clients)}"
        client = SimClient(self, name, link or Link(), buffers, held, claims)
        self.clients.append(client)
        self.at(joins_at, client.join)
        return client

    def restart(self, now: float) -> None:
        """The server is back: another session, which knows nobody; those who return start it."""
        session = self.sender.session + 1
        self.sender = SenderCore(self.image.table, session, KEY, ROOT, self._cap)
        self.up = True
        self.at(now + 1.0, lambda then: self.sender.start(then + self.lead))

    def at(self, when: float, what: Callable[[float], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, what))

    def run(self, until: float, *, start: float = 0.0, stop: Callable[[], bool] | None = None) -> None:
        """Run to ``until``, or to ``stop()``, or to the end of the cast."""
        self.at(start, lambda now: self.sender.start(now + self.lead))
        self.at(0.0, self._tick)
        self.at(0.0, self._transmit)
        while self._events and self.now < until and not (stop or self.over)():
            self.now, _, what = heapq.heappop(self._events)
            what(self.now)

    def join(self, now: float, name: str, key: bytes, held: ChunkSet) -> JoinAnswer:
        answer = self.sender.join(now + self.lead, name, key, held)
        return replace(answer, protection=self.protection)

    def over(self) -> bool:
        return all(
            c.core.state is ReceiverState.DONE or (c.joined and not c.alive) for c in self.clients
        )

    def to_server(self, now: float, client: SimClient, packet: bytes) -> None:
        client.largest = max(client.largest, len(packet))
        link = client.link
        for _ in range(2 if self.random.random() < link.duplicate else 1):
            if self.random.random() >= link.feedback_loss and self.up:
                arrives = now + 0.0005 + self.random.random() * link.jitter
                self.at(arrives, lambda t: self._answer(t, client, packet))

    def _answer(self, now: float, client: SimClient, packet: bytes) -> None:
        try:
            value = wire.open_from_client(packet, self.sender.session, self.sender.key_of)
        except BadPacket:
            return
        reply = self.sender.on_client(now + self.lead, value)
        if reply is not None and self.random.random() >= client.link.feedback_loss:
            client.hear(now, reply)

    def _tick(self, now: float) -> None:
        for client in self.clients:
            client.work(now)
        self.at(now + STEP, self._tick)

    def _transmit(self, now: float) -> None:
        out = self.sender.next_tx(now + self.lead)
        if isinstance(out, Wait):
            self.at(now + max(out.seconds, 1e-4), self._transmit)
            return
        packet = out.packet if isinstance(out, Control) else self._datagrams(out)
        if self.up:
            for client in self.clients:
                if client.joined and client.alive and (client.member or not client.link.snooping):
                    self._carry(now, client, packet)
        self.at(now + 1e-6, self._transmit)

    def _datagrams(self, burst: SourceBurst | ParityBurst) -> bytes:
        selector = self.sender.selector
        table = selector.table
        block = self.image.block(table, burst.block)
        stripes = int(table.stripes[burst.block])
        if isinstance(burst, SourceBurst):
            index = np.arange(burst.first, burst.first + burst.count)
            of, rows = index % stripes, index // stripes
            symbols = block[index]
        else:
            of, rows = burst.stripes.astype(np.int64), burst.rows.astype(np.int64)
            symbols = np.array(
                [
                    encode(block[s::stripes], np.array([r - 192]))[0]
                    for s, r in zip(of, rows, strict=True)
                ]
            )
        packets = np.zeros(len(rows), datagram(table.symbol_size))
        assert packets["header"].dtype == HEADER
        head = packets["header"]
        head["vt"], head["flags"], head["session"] = 0x11, burst.flags, self.sender.session
        head["selection"] = selector.number
        head["block"], head["symbols"] = burst.block, len(block)
        head["stripe"], head["row"] = of, rows
        head["pseq"] = burst.pseq + np.arange(len(rows))
        packets["symbol"] = symbols
        self.source_bytes += 0 if burst.flags & FLAG_PARITY else symbols.size
        if not self.protection.tag_key:
            return packets.tobytes()
        tag_burst(packets.view(np.uint8).data, table.symbol_size, self.protection.tag_key)
        return packets.tobytes()

    def _carry(self, now: float, client: SimClient, packet: bytes) -> None:
        link = client.link
        data = packet[0] == 0x11
        if (self.image.table.datagram_size if data else len(packet)) > link.largest:
            return
        if data:
            packets = np.frombuffer(packet, datagram(self.image.symbol_size)).copy()
            keep = self.numbers.random(len(packets)) >= link.loss
            if client.free_at - now > link.queue:  # what waits before a slow link, or a slow machine
                keep[:] = False
            packets = packets[keep & link.data]
            if link.duplicate and self.random.random() < link.duplicate:
                packets = packets.repeat(2)
            if link.corrupt and len(packets) and self.random.random() < link.corrupt:
                packets["symbol"][0] ^= 0xFF
            packet = packets.tobytes()
        elif self.random.random() < link.loss:
            return
        if packet:
            client.free_at = max(client.free_at, now) + len(packet) / link.rate
            arrives = client.free_at + 0.0002 + self.random.random() * link.jitter
            self.at(
                arrives, lambda t: client.hear(t, packet) if client.alive and client.member else None
            )
