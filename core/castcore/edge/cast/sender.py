"""One running cast: the threads and sockets around the sender's core.

One thread sends, one hears what clients say; joins and status come from any thread. All share the
core under one lock, which is never held while reading, computing parity or sending.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from dataclasses import replace
from random import Random

from castcore.cast import wire
from castcore.cast.blocks import BlockTable, lengths_digest
from castcore.cast.chunkset import ChunkSet
from castcore.cast.descriptor import CastDescriptor, encode_descriptor
from castcore.cast.messages import Fin
from castcore.cast.outputs import Control, SourceBurst, Wait
from castcore.cast.peers import Peers, Seed, Tracker
from castcore.cast.sender import SenderCore
from castcore.cast.states import SenderState, Transport
from castcore.cast.status import CastStatus
from castcore.cast.unicastbudget import UnicastBudget
from castcore.cast.values import JoinAnswer
from castcore.chunks import ChunkSource
from castcore.edge.cast.blocks import BlockCache, BurstWriter
from castcore.edge.cast.digests import SymbolDigests
from castcore.edge.cast.multicast import GroupSender, feedback_listener
from castcore.edge.cast.seal import SealedSource
from castcore.edge.cast.sendersettings import (
    SenderSettings,
    fresh_protection,
    link_capacity,
    open_group,
)
from castcore.edge.net.interface import SocketAddress, family_of, find_interface
from castcore.errors import BadPacket, Busy, FleetcastError, InUse, NetworkFailed
from castcore.trust import KEY_SIZE, SigningKey, digest

__all__ = ["CastSender", "CastStatus", "JoinAnswer", "SenderSettings"]

LINK_DOWN_PAUSE = 0.1
FEEDBACK_MAX = 2048
ABORT_REPEATS = 3


class CastSender:
    """Casts ``source``; every method may be called from any thread.

    ``failure`` is what ended it early: the image could not be read, or is not whole. Its clients are
    then told to give up, for what they lack will never come.

    Clients may join as soon as it exists; beacons tell them that the pass has not begun. Raises NotFound
    (interface), PortTaken, NetworkFailed, BadImage.
    """

    def __init__(
        self,
        source: ChunkSource,
        *,
        name: str,
        root: bytes,
        manifest: bytes,
        index: bytes,
        key: SigningKey,
        settings: SenderSettings,
    ) -> None:
        if digest(index) != root:
            raise NetworkFailed(f"the index of {name} is not the one its root names")
        interface = find_interface(settings.interface_address, family_of(settings.group))
        lengths = source.stored_lengths()
        self._protection = fresh_protection(settings)
        if settings.encrypt:
            source = SealedSource(source, self._protection.seal_key)
        table = BlockTable.build(source.stored_lengths(), settings.symbol_size)
        session, session_key = secrets.randbits(32), SigningKey.generate()
        cap = settings.rate_cap or link_capacity(interface, settings)
        self._core = SenderCore(
            table, session, session_key, root, cap, polite=settings.polite, transport=settings.transport
        )
        self._session, self._lengths, self._budget = session, lengths, UnicastBudget()
        self._feedback = feedback_listener(interface, settings.feedback_port)
        try:
            self._group = open_group(interface, settings)
        except BaseException:
            self._feedback.close()
            raise
        self._source, self._cache_bytes = source, settings.cache_bytes
        self._select(table, 0)
        self._tracker, self._random = Tracker(), Random()
        self._names: set[str] = set()
        self._peer_key = os.urandom(KEY_SIZE) if settings.peers else b""
        self._lock = threading.Lock()
        self._stopping, self._closed = threading.Event(), threading.Event()
        self._aborting = False
        self.failure: FleetcastError | None = None
        descriptor = CastDescriptor(
            session=session,
            name=name,
            server_key=key.public,
            session_key=session_key.public,
            root=root,
            manifest_digest=digest(manifest),
            lengths_digest=lengths_digest(lengths),
            chunk_count=len(lengths),
            stored_bytes=table.stored_bytes,
            symbol_size=table.symbol_size,
            group=settings.group,
            port=settings.port,
            feedback=f"{interface.host}:{self._feedback.getsockname()[1]}",
            mac=settings.mac,
            encrypt=settings.encrypt,
            unicast=settings.transport is Transport.UNICAST,
        )
        self.descriptor = encode_descriptor(descriptor, key)
        self._begin()

    def _begin(self) -> None:
        self._threads = [
            threading.Thread(target=self._transmit, name="cast-send", daemon=True),
            threading.Thread(target=self._listen, name="cast-hear", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def join(self, client: str, held: bytes = b"") -> JoinAnswer:
        """Let ``client`` take part, at any time before the end.

        ``held``: the chunks it has already (an encoded `ChunkSet`), b"" for none. Raises BadPacket,
        and InUse after the end.
        """
        chunks = ChunkSet.decode(held, len(self._table.stored)) if held else None
        with self._lock:
            if self._core.state is SenderState.CLOSED:
                raise InUse("this cast has ended", hint="read the descriptor again, then join")
            now = time.monotonic()
            answer = self._core.join(now, client, os.urandom(KEY_SIZE), chunks)
            self._tracker.joined(now, client, answer.client_number)
            self._names.add(client)
        return replace(answer, protection=self._protection, peer_key=self._peer_key)

    def peers(self, client: str, address: str) -> Peers:
        """Which finished clients ``client``, at the IP ``address``, may ask for chunks.

        For a finished one: whether it shall go on serving them.
        """
        with self._lock:
            if self.finished():
                return Peers()
            answer = self._tracker.answer(time.monotonic(), client, address, self._random)
            return replace(answer, seeds=()) if self._core.paused else answer

    def selection(self, number: int) -> bytes:
        """The chunks of selection ``number`` (an encoded `ChunkSet`). Raises InUse: there is another."""
        with self._lock:
            selector = self._core.selector
            present, chunks = selector.number, selector.chunks
        if number != present:
            raise InUse(f"selection {present} is cast now, not {number}", hint="a beacon tells which")
        return chunks.encode()

    def symbol_digests(self, selection: int, block: int) -> bytes:
        """The digests of all symbols of a ``block`` of ``selection``.

        Raises InUse when there is another selection now, NotFound, DiskFailed, BadImage.
        """
        return self._digests.of(selection, block)

    def turn(self, client: str, chunk: int) -> float:
        """Seconds until ``chunk`` may leave to ``client`` by unicast, so that the group's stream is not
        slowed. Raises Busy, and InUse for one that has not joined: it did so at a server that was
        restarted since, and would fill its disk chunk by chunk while this one waits for it.
        """
        with self._lock:
            if client not in self._names:
                raise InUse("this sender does not know you", hint="read the descriptor again, then join")
            if self._core.paused:
                raise Busy("the cast is paused")
            if self._core.state is SenderState.GATHER:
                raise Busy("the cast has not begun")
            speed = self._core.unicast_speed()
            return self._budget.turn(time.monotonic(), client, self._lengths[chunk], speed)

    def start(self) -> None:
        """Begin the pass; harmless when it has begun."""
        with self._lock:
            self._core.start(time.monotonic())

    def pause(self, *, paused: bool) -> None:
        """Send no data, by multicast or unicast, until it goes on: then where it was.

        Clients hear that, and wait.
        """
        with self._lock:
            self._core.pause(time.monotonic(), paused=paused)

    @property
    def paused(self) -> bool:
        """Whether it sends no data now because it shall not."""
        return self._core.paused

    def limit(self, cap: float) -> None:
        """Send at most ``cap`` bytes a second of UDP payload from now on."""
        with self._lock:
            self._core.limit(cap)

    def wish(self) -> float:
        """Bytes a second that it could use now if its cap let it; inf: all there are."""
        with self._lock:
            return self._core.wish()

    def stop(self, *, abort: bool = False) -> None:
        """Stop sending; free threads and sockets.

        Clients that are not done wait for the server to be back, unless ``abort`` tells them to give up.
        """
        self._aborting = abort
        self._stopping.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def finished(self) -> bool:
        """Whether the cast has ended: all clients done or gone, or stopped."""
        return self._closed.is_set()

    def fault(self) -> str:
        """What ended it early, "" while nothing has; takes no time, as `status` does."""
        return self.failure.what if self.failure else ""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end at most ``timeout`` seconds; whether it has come."""
        return self._closed.wait(timeout)

    @property
    def segmenting(self) -> bool:
        """Whether the kernel cuts whole bursts into datagrams for us."""
        return self._group.segmenting

    def status(self) -> CastStatus:
        """The cast as it stands."""
        with self._lock:
            status = self._core.status()
        return replace(
            status,
            failure=self.fault(),
            mac=bool(self._protection.tag_key),
            encrypt=bool(self._protection.seal_key),
        )

    def _transmit(self) -> None:
        try:
            while not self._stopping.is_set() and self._core.state is not SenderState.CLOSED:
                self._step()
        except FleetcastError as error:
            self.failure = error
        except Exception as error:
            self.failure = FleetcastError(f"internal error: {error!r}", hint="please report it")
            raise
        finally:
            self._end()

    def _step(self) -> None:
        with self._lock:
            out = self._core.next_tx(time.monotonic())
            selector = self._core.selector
            table, number = selector.table, selector.number
        if table is not self._table:
            self._follow(table, number)
        if isinstance(out, Wait):
            self._stopping.wait(out.seconds)
            return
        try:
            if isinstance(out, Control):
                self._group.control(out.packet)
            else:
                block = self._cache.get(out.block, ahead=isinstance(out, SourceBurst))
                self._group.burst(self._writer.write(out, block))
        except OSError:
            # The link is down or the address went: like loss, and worth another try.
            self._stopping.wait(LINK_DOWN_PAUSE)

    def _follow(self, table: BlockTable, selection: int) -> None:
        """Blocks are those of another selection from now on."""
        self._cache.close()
        self._select(table, selection)

    def _select(self, table: BlockTable, selection: int) -> None:
        self._table = table
        self._cache = BlockCache(self._source, table, self._session, selection, self._cache_bytes)
        self._writer = BurstWriter(table, self._session, selection, self._protection.tag_key)
        self._digests = SymbolDigests(self._source, table, selection)

    def _end(self) -> None:
        with self._lock:
            ended = self._core.state is SenderState.CLOSED
            packet = self._core.abort()
        if (self._aborting or self.failure is not None) and not ended:
            for _ in range(ABORT_REPEATS):
                _quietly(self._group, packet)
        self._closed.set()
        self._cache.close()
        self._group.close()

    def _listen(self) -> None:
        self._feedback.settimeout(0.2)
        while not self._closed.is_set():
            try:
                packet, sender = self._feedback.recvfrom(FEEDBACK_MAX)
            except OSError:
                continue
            self._hear(packet, sender)
        self._feedback.close()

    def _hear(self, packet: bytes, sender: SocketAddress) -> None:
        try:
            value = wire.open_from_client(packet, self._session, self._core.key_of)
        except BadPacket:
            return
        with self._lock:
            answer = self._core.on_client(time.monotonic(), value)
            if isinstance(value, Fin) and answer is not None:
                self._tracker.finished(value.client, Seed(sender[0].partition("%")[0], value.seed_port))
        if answer is not None:
            try:
                self._feedback.sendto(answer, sender)
            except OSError:
                return


def _quietly(group: GroupSender, packet: bytes) -> None:
    try:
        group.control(packet)
    except OSError:
        return
