"""A client among its peers: it gets chunks from those who have finished, then serves them itself."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Protocol

from castcore.cast.peers import Peers, Seed, SeedChoice
from castcore.cast.peerwire import ANSWER_MAX, request_tag, unseal
from castcore.edge.cast.seed import Contents, Pass, SeedServer
from castcore.edge.net.interface import Interface, family_of
from castcore.errors import BadPacket, FleetcastError, NetworkFailed, Untrusted

CONNECT_SECONDS = 0.5
# A chunk of 1 MiB in less, or the server gives it: even a link of 10 Mbit/s carries it so fast.
FETCH_SECONDS = 2.0
# A refusal takes no reading; one that takes longer costs as much as no answer.
REFUSAL_SECONDS = 0.5
# So many seeds are asked for one chunk before the server is; those that do not have it cost a moment
# only, and do not count.
TRIES = 2
HEAD_MAX = 1024
# How often a seed asks whether it is still needed, and how long it stays at the most.
STAY_POLL = 2.0
STAY_SECONDS = 60.0


class Answer(Enum):
    """How one try with a seed ended."""

    GIVEN = "given"
    BUSY = "busy"
    LACKING = "does not have it"
    BAD = "bad"


class PeerList(Protocol):
    """The part of :class:`castcore.edge.cast.receiver.CastControl` that knows the others."""

    def peers(self) -> Peers:
        """Whom to ask for chunks, and whether to stay as one of them. Raises FleetcastError."""
        ...


class ContentSink(Protocol):
    """Takes the contents of chunks in any order, from several threads; proves each before using it."""

    def put_content(self, chunk: int, content: bytes) -> int:
        """As ``ChunkSink.put``, for a chunk that is not compressed. Raises Untrusted, DiskFailed."""
        ...


class PeerClient:
    """One client's dealings with the others of its cast; every call may come from any thread.

    ``lengths`` are the chunks' stored ones; ``taken`` counts those of chunks that others gave. It serves
    from ``contents`` (None: not at all; ours to close). Where a cast does not let clients exchange data,
    nothing happens.
    """

    def __init__(
        self,
        control: PeerList,
        sink: ContentSink,
        lengths: Sequence[int],
        contents: Contents | None,
    ) -> None:
        self._control, self._sink, self._lengths = control, sink, lengths
        self._contents = contents
        self.taken = 0
        self._choice, self._lock = SeedChoice(), threading.Lock()
        self._pass: Pass | None = None
        self._server: SeedServer | None = None
        self._leaving = threading.Event()

    @property
    def port(self) -> int:
        """The TCP port where it serves chunks, 0 when it does not."""
        return self._server.port if self._server is not None else 0

    @property
    def served(self) -> int:
        """Bytes of chunks that it gave to others."""
        return self._server.served if self._server is not None else 0

    @property
    def banned(self) -> int:
        """How many others are not asked again: they lied, or were too slow."""
        with self._lock:
            return self._choice.banned

    def joined(self, interface: Interface, session: int, key: bytes) -> int:
        """The cast took us in, at first or again; without a ``key`` its clients exchange nothing.

        Returns the TCP port where we serve, 0 for nowhere.
        """
        given = Pass(interface, session, key) if key else None
        if self._pass == given:
            return self.port
        self._stop_serving()
        with self._lock:
            self._pass, self._choice = given, SeedChoice()
        if given is not None and self._contents is not None:
            with suppress(NetworkFailed):  # then the others do without us
                self._server = SeedServer(given, self._contents)
        return self.port

    def fetch(self, chunk: int) -> bool:
        """Whether a seed gave ``chunk`` and the sink has it. Raises DiskFailed."""
        given = self._pass
        if given is None:
            return False
        self._look()
        asked, tries = frozenset[Seed](), 0
        while tries < TRIES:
            with self._lock:
                choice, seed = self._choice, self._choice.take(asked)
            if seed is None:
                return False
            answer = self._take(given, choice, seed, chunk)
            if answer is Answer.GIVEN:
                return True
            asked |= {seed}
            tries += answer is not Answer.LACKING
        return False

    def stay(self, seconds: float, begun: Callable[[], None] = lambda: None) -> None:
        """Serve others for as long as the server wants us to, ``seconds`` at the most.

        ``begun`` is called when it does want us to.
        """
        end, told = time.monotonic() + seconds, False
        while (left := end - time.monotonic()) > 0 and self._wanted():
            if self._contents is not None:
                self._contents.relieve()
            if not told:
                told = True
                begun()
            if self._leaving.wait(min(STAY_POLL, left)):
                return

    def _wanted(self) -> bool:
        try:
            return self._server is not None and self._control.peers().stay
        except FleetcastError:  # the cast is over, or its server gone
            return False

    def close(self) -> None:
        """Serve no more; a `stay` under way returns."""
        self._leaving.set()
        self._stop_serving()
        if self._contents is not None:
            self._contents.close()

    def _stop_serving(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _look(self) -> None:
        """Ask the server for seeds, not too often."""
        with self._lock:
            due, choice = self._choice.due(time.monotonic()), self._choice
        if not due:
            return
        try:
            seeds = self._control.peers().seeds
        except FleetcastError:  # those we know may still be there
            return
        with self._lock:
            choice.update(seeds)

    def _take(self, given: Pass, choice: SeedChoice, seed: Seed, chunk: int) -> Answer:
        """One try, which may be the last chance of ``seed``. Raises DiskFailed."""
        ended = Answer.BUSY
        try:
            answer = ask(given, seed, chunk)
            if isinstance(answer, bytes):
                self._sink.put_content(chunk, unseal(given.key, given.session, chunk, answer))
                ended = Answer.GIVEN
            else:
                ended = answer
        except (NetworkFailed, BadPacket, Untrusted):
            ended = Answer.BAD
        finally:
            with self._lock:
                (choice.ban if ended is Answer.BAD else choice.done)(seed)
                self.taken += self._lengths[chunk] if ended is Answer.GIVEN else 0
        return ended


def ask(given: Pass, seed: Seed, chunk: int) -> bytes | Answer:
    """The sealed answer of ``seed``, or how it refused: BUSY, or LACKING this ``chunk``.

    Raises NetworkFailed when it gives nothing of use within FETCH_SECONDS, or refuses later than
    REFUSAL_SECONDS.
    """
    begun = time.monotonic()
    end = begun + FETCH_SECONDS
    request = (
        f"GET /chunks/{chunk} HTTP/1.1\r\nHost: {seed.address}\r\n"
        f"Authorization: Peer {request_tag(given.key, given.session, chunk)}\r\n"
        "Connection: close\r\n\r\n"
    )
    try:
        with socket.socket(family_of(seed.address), socket.SOCK_STREAM) as connection:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(given.interface.reach(seed.address, seed.port))
            connection.sendall(request.encode())
            head, _, body = _read_all(connection, end).partition(b"\r\n\r\n")
    except OSError as error:
        raise NetworkFailed(f"the peer {seed.address} does not answer: {error}") from None
    status = head[:12]
    refusal = {b"HTTP/1.1 404": Answer.LACKING, b"HTTP/1.1 503": Answer.BUSY}.get(status)
    if refusal is not None:
        if time.monotonic() > begun + REFUSAL_SECONDS:
            raise NetworkFailed(f"the peer {seed.address} takes too long to refuse")
        return refusal
    if status != b"HTTP/1.1 200":
        raise NetworkFailed(f"the peer {seed.address} answers {status!r}")
    return body


def _read_all(connection: socket.socket, end: float) -> bytes:
    parts, left = [], ANSWER_MAX + HEAD_MAX
    while left > 0:
        connection.settimeout(max(end - time.monotonic(), 0.001))
        part = connection.recv(min(left, 1 << 18))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
