"""Receiving a cast: sockets, buffers and workers around the receiver's core.

The calling thread receives and drives the core; workers put chunks into the sink. When the server is
gone, what was done is kept and the join is tried again until it is back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import random

from castcore.cast import wire
from castcore.cast.actions import (
    Action,
    Ask,
    Deliver,
    Fetch,
    Flush,
    LookForLeak,
    Membership,
    Regroup,
    Rejoin,
    Release,
    Repair,
    Select,
    Send,
)
from castcore.cast.blocks import BlockTable, lengths_digest
from castcore.cast.chunkset import ChunkSet
from castcore.cast.descriptor import CastDescriptor, open_descriptor
from castcore.cast.protection import Protection, sealed_lengths
from castcore.cast.receiver import ReceiverCore
from castcore.cast.sieve import Sieve
from castcore.cast.states import ReceiverState
from castcore.cast.values import JoinAnswer, ReceiveResult
from castcore.chunks import ChunkSink
from castcore.edge.cast import preflight
from castcore.edge.cast.control import CastControl
from castcore.edge.cast.errands import Errands
from castcore.edge.cast.mending import Mender
from castcore.edge.cast.multicast import Batch
from castcore.edge.cast.peers import PeerClient
from castcore.edge.cast.pool import BufferPool, pool_size
from castcore.edge.cast.progress import progress_of
from castcore.edge.cast.sockets import Ears
from castcore.edge.cast.workers import Result, Workers
from castcore.edge.net.interface import Interface, family_of, find_interface
from castcore.errors import BadPacket, FleetcastError, NetworkFailed, NotFound, Refused, Untrusted
from castcore.progress import ProgressCallback

__all__ = ["ReceiveResult", "receive"]

IDLE_SECONDS = 0.01
# Datagrams gather while we sleep: long enough for so many bytes, within these bounds.
GATHER_BYTES = 768 << 10
GATHER_MIN, GATHER_MAX = 0.0005, 0.016
# Where a look takes longer than this, the processor is so slow that it has little left for the chunks:
# twice the time of a look is theirs.
LOOK_SLOW, LOOKS_APART = 0.01, 0.15
PROGRESS_SECONDS = 0.25
REJOIN_SECONDS = 1.0


def receive(
    control: CastControl,
    descriptor: CastDescriptor,
    lengths: Sequence[int],
    sink: ChunkSink,
    *,
    interface: str | Callable[[], str],
    progress: ProgressCallback,
    stop: threading.Event | None = None,
    peers: PeerClient | None = None,
    offload: bool = True,
    held: ChunkSet | None = None,
) -> ReceiveResult:
    """Put every chunk that travels into ``sink``; return when all are durable there.

    ``held``: chunks that the sink has already, proven against the image; they are not asked for.
    ``interface`` is a name or an address, or tells it at every join; the family is the cast's.
    ``peers`` exchanges chunks with the other clients and is the caller's to close. Raises NotFound
    (interface), Untrusted (descriptor, or the server's own chunk), DiskFailed, NetworkFailed with the
    server's reason when the cast was ended early, Refused when ``stop`` was set.
    """
    if lengths_digest(lengths) != descriptor.lengths_digest:
        raise Untrusted("the cast's chunk lengths are not those of the image's index")
    way = (lambda: interface) if isinstance(interface, str) else interface
    reception = _Reception(
        control, descriptor, lengths, sink, way, progress, peers, offload=offload, held=held
    )
    try:
        return reception.run(stop or threading.Event())
    except NotFound as gone:
        raise _ended(gone.what) from None
    finally:
        reception.close()


def _casts(descriptor: CastDescriptor) -> tuple[bytes, bytes, int, bool]:
    """What must stay the same for what was received to stay good."""
    return descriptor.root, descriptor.lengths_digest, descriptor.symbol_size, descriptor.encrypt


def _ended(why: str) -> NetworkFailed:
    return NetworkFailed(
        f"the cast was ended before this disk was complete{f': {why}' if why else ''}",
        hint="take part in a new cast",
    )


class _Reception:
    def __init__(
        self,
        control: CastControl,
        descriptor: CastDescriptor,
        lengths: Sequence[int],
        sink: ChunkSink,
        way: Callable[[], str],
        progress: ProgressCallback,
        peers: PeerClient | None,
        *,
        offload: bool,
        held: ChunkSet | None,
    ) -> None:
        self._control, self._descriptor = control, descriptor
        self._way, self._progress, self._offload = way, progress, offload
        self._interface = interface = find_interface(way(), family_of(descriptor.group))
        self._peers = peers
        travelling = sealed_lengths(lengths) if descriptor.encrypt else lengths
        self._table = BlockTable.build(travelling, descriptor.symbol_size)
        self._obstacle = self._obstacle_to(interface, descriptor)
        self._pool = BufferPool(self._table)
        jitter = random()
        buffers = pool_size(self._table)
        self._core = ReceiverCore(
            self._table, descriptor.root, buffers=buffers, jitter=jitter, held=held
        )
        self._sieve = Sieve(self._table)
        self._workers = Workers()
        self._mender = Mender(self._core, self._pool, self._workers)
        self._errands = Errands(control, sink, peers, self._core)
        self._joined = self._waiting = False
        self._told = 0.0
        self._gather = GATHER_MIN
        self._messages = self._packets = 1
        self._ears = self._open(interface, descriptor, self._obstacle)

    def run(self, stop: threading.Event) -> ReceiveResult:
        """Receive to the end."""
        started = time.monotonic()
        self._rejoin()
        while self._core.state is not ReceiverState.DONE:
            if stop.is_set():
                raise Refused("the cast was left before its end", hint="join again to go on")
            if self._core.state is ReceiverState.ABORTED:
                raise _ended(self._reason())
            self._turn()
        self._tell(time.monotonic(), always=True)
        return self._core.ledger.result(time.monotonic() - started)

    def close(self) -> None:
        """End the threads, leave the group."""
        self._workers.close()
        self._ears.close()

    def _turn(self) -> None:
        """Take what has arrived, what workers have done, and do what the core wants."""
        begun = time.monotonic()
        batch = self._take()
        now = time.monotonic()
        for result in self._workers.results():
            result(now)
        if self._joined:
            for action in self._core.poll(now):
                self._do(action)
            self._mender.hand_over()
        self._tell(now)
        if batch.more:
            return
        if batch.data and self._ears.deep:
            # Each look costs about the same, however many datagrams there are.
            aim = self._gather * (1.25 if len(batch.data) < GATHER_BYTES else 0.8)
            self._gather = min(max(aim, GATHER_MIN), GATHER_MAX)
            spent = time.monotonic() - begun
            time.sleep(min(2 * spent, LOOKS_APART) if spent > LOOK_SLOW else self._gather)
        else:
            self._ears.wait(IDLE_SECONDS)

    def _reason(self) -> str:
        """Why the cast was ended, as far as its server still tells."""
        try:
            self._control.descriptor()
        except NotFound as gone:
            return gone.what
        except FleetcastError:
            pass
        return ""

    # -- datagrams

    def _open(self, interface: Interface, descriptor: CastDescriptor, obstacle: str) -> Ears:
        return Ears(
            interface,
            descriptor,
            segment=self._table.datagram_size,
            offload=self._offload,
            deaf=bool(obstacle),
        )

    def _obstacle_to(self, interface: Interface, descriptor: CastDescriptor) -> str:
        """Why everything comes by unicast, "" when it need not."""
        if descriptor.unicast:
            return "all by unicast, as this cast is"
        return preflight.obstacle(interface, self._table.datagram_size)

    def _take(self) -> Batch:
        """Take the datagrams that are waiting."""
        now = time.monotonic()
        for answer in self._ears.answers():
            self._take_control(now, answer)
        batch = self._ears.receive()
        now = time.monotonic()
        if batch.dropped:
            # The kernel counts what it drops in messages; each held about as many packets as these.
            self._core.on_dropped(batch.dropped * self._packets // self._messages)
        if batch.data and self._joined:
            self._follow()
            headers, symbols = self._sieve.sift(batch.data)
            self._messages += batch.messages
            self._packets += len(headers)
            for scatter in self._core.on_headers(now, headers):
                self._pool.scatter(scatter, symbols)
        for packet in batch.others:
            self._take_control(now, packet)
        return batch

    def _take_control(self, now: float, packet: bytes) -> None:
        if not self._joined:
            return
        descriptor = self._descriptor
        try:
            value = wire.open_from_server(packet, descriptor.session, descriptor.session_key)
        except BadPacket:
            return
        self._core.on_control(now, value)

    # -- what the core wants

    def _do(self, action: Action) -> None:
        match action:
            case Send(packet):
                self._ears.say(packet)
            case Deliver():
                view, key = self._pool.chunk(action), self._sieve.protection.seal_key
                self._workers.write(lambda: self._errands.put(action.chunk, view, key))
            case Repair():
                self._mender.add(action)
            case Release(block):
                self._pool.release(block)
                self._sieve.vetting.forget(block)
            case Fetch(chunk):
                self._workers.fetch(lambda: self._errands.fetch(chunk))
            case Ask():
                table = self._core.table
                self._workers.fetch(lambda: self._ask(action, table))
            case Select():
                self._workers.fetch(lambda: self._errands.select(action, self._table))
            case Flush():
                self._workers.write(self._errands.flush)
            case Membership() | LookForLeak() | Rejoin():
                self._regroup(action)

    def _regroup(self, action: Regroup) -> None:
        match action:
            case Membership(joined):
                self._ears.member(joined=joined)
            case LookForLeak():
                self._workers.join(self._look)
            case Rejoin():
                self._rejoin()

    def _look(self) -> Result:
        leaks = self._ears.leaks()
        return lambda _: self._core.on_leak(leaks=leaks)

    def _ask(self, wanted: Ask, table: BlockTable) -> Result:
        keys = self._sieve.protection
        try:
            told = self._control.symbol_digests(wanted.selection, wanted.block)
        except NetworkFailed:
            told = b""
        return lambda now: self._vet(now, wanted.block, table, keys, told)

    def _vet(self, now: float, block: int, table: BlockTable, keys: Protection, told: bytes) -> None:
        """Find the wrong ones among a block's symbols; those to come are checked as they come."""
        of_now = table is self._core.table and keys == self._sieve.protection
        if not of_now or not self._core.awaits(block):
            return
        self._follow()
        try:
            self._sieve.vetting.learn(block, told)
        except BadPacket:
            self._core.on_unvetted(now, block)
            return
        present, symbols = self._core.present(block), self._pool.symbols(block)
        self._core.on_vetted(block, self._sieve.vetting.wrong(block, present, symbols))

    def _follow(self) -> None:
        """Let go of what belongs to a table that is no longer the core's."""
        if self._pool.follow(self._core.table):
            self._sieve.follow(self._core.table)

    def _rejoin(self, pause: float = 0.0) -> None:
        held = self._core.ledger.held
        known = held.encode() if held else b""
        self._workers.join(lambda: self._join(known, pause))

    def _join(self, held: bytes, pause: float) -> Result:
        """Join, again and again; the cast may have been restarted under a new descriptor."""
        while not self._workers.stopping.wait(pause):
            try:
                descriptor = open_descriptor(self._control.descriptor(), self._descriptor.server_key)
                self._same_image(descriptor)
                interface = self._present_interface(descriptor)
                answer = self._control.join(held)
                answer.require(mac=descriptor.mac, encrypt=descriptor.encrypt)
                return partial(self._rejoined, interface=interface, descriptor=descriptor, answer=answer)
            except (NetworkFailed, BadPacket):
                self._waiting, pause = True, REJOIN_SECONDS
        return lambda _: None

    def _same_image(self, descriptor: CastDescriptor) -> None:
        before = self._descriptor
        if _casts(descriptor) != _casts(before):
            raise NetworkFailed("the server casts another image now, or in other pieces")

    def _rejoined(
        self, now: float, interface: Interface, descriptor: CastDescriptor, answer: JoinAnswer
    ) -> None:
        if (descriptor.session, interface) != (self._descriptor.session, self._interface):
            try:
                self._hear(interface, descriptor)
            except NetworkFailed:  # the address is gone since
                self._waiting = True
                self._rejoin(REJOIN_SECONDS)
                return
        self._joined, self._waiting = True, False
        self._sieve.renew(answer.protection)
        if self._peers is not None:
            key, session = answer.peer_key, descriptor.session
            self._core.farewell.seed_port = self._peers.joined(self._interface, session, key)
        self._core.on_joined(now, descriptor.session, answer)
        if self._obstacle:
            self._core.on_deaf()

    def _hear(self, interface: Interface, descriptor: CastDescriptor) -> None:
        """Hear that cast there from now on. Raises NetworkFailed, then all is as before."""
        obstacle = self._obstacle_to(interface, descriptor)
        ears = self._open(interface, descriptor, obstacle)
        self._ears.close()
        self._ears, self._obstacle = ears, obstacle
        self._descriptor, self._interface = descriptor, interface

    def _present_interface(self, descriptor: CastDescriptor) -> Interface:
        """Where the cast comes in now: its server may have been found again through another one."""
        try:
            return find_interface(self._way(), family_of(descriptor.group))
        except NotFound as gone:  # it has just lost its address, and may get one again
            raise NetworkFailed(gone.what, hint=gone.hint) from None

    def _tell(self, now: float, *, always: bool = False) -> None:
        if not always and now - self._told < PROGRESS_SECONDS:
            return
        self._told = now
        waiting = ReceiverState.SILENT.value if self._waiting else self._obstacle
        self._progress(progress_of(self._core, self._table.stored_bytes, waiting))
