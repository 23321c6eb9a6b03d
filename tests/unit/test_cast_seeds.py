"""Real seeds and a real client on this host's loopback: liars, the dead, the slow, strangers."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from castcore.cast.peers import UPLOADS_MAX, Peers, Seed
from castcore.cast.peerwire import Packed, pack, request_tag, unseal
from castcore.edge.cast import peers as castpeers
from castcore.edge.cast.peers import REFUSAL_SECONDS, Answer, PeerClient, ask
from castcore.edge.cast.seed import Pass, SeedServer
from castcore.edge.net.interface import find_interface
from castcore.errors import NetworkFailed, Untrusted

HOME = "127.0.0.1"
KEY, SESSION = bytes(range(32)), 7
LOOP = find_interface("lo")
MEMBER = Pass(LOOP, SESSION, KEY)
CHUNKS = [random.Random(i).randbytes(50_000 + i) for i in range(12)]


class Disk:
    """The chunks of a finished client; ``wrong`` ones are another's, those of ``gone`` are not there."""

    def __init__(self, *, wrong: bool = False, seconds: float = 0.0, gone: bool = False) -> None:
        self.wrong, self.seconds, self.gone = wrong, seconds, gone
        self.readers = self.most_readers = self.readers_ever = 0
        self.closed = False
        self._lock = threading.Lock()

    def relieve(self) -> None:
        """Nothing is kept."""

    def packed(self, chunk: int) -> Packed | None:
        with self._lock:
            self.readers += 1
            self.readers_ever += 1
            self.most_readers = max(self.readers, self.most_readers)
        time.sleep(self.seconds)
        with self._lock:
            self.readers -= 1
        if self.gone or chunk >= len(CHUNKS):
            return None
        return pack(CHUNKS[(chunk + self.wrong) % len(CHUNKS)])

    def close(self) -> None:
        self.closed = True


class Sink:
    def __init__(self) -> None:
        self.taken: dict[int, bytes] = {}

    def put_content(self, chunk: int, content: bytes) -> int:
        if content != CHUNKS[chunk]:
            raise Untrusted(f"chunk {chunk}")
        assert chunk not in self.taken
        self.taken[chunk] = content
        return len(content)


class Server:
    """The tracker's side of a cast."""

    def __init__(self, *seeds: Seed, stays: int = 0) -> None:
        self.seeds, self.stays, self.asked = seeds, stays, 0

    def peers(self) -> Peers:
        self.asked += 1
        return Peers(self.seeds, stay=self.asked <= self.stays)


@contextmanager
def client(server: Server, key: bytes = KEY) -> Iterator[tuple[PeerClient, Sink]]:
    sink = Sink()
    with closing(PeerClient(server, sink, [len(c) for c in CHUNKS], None)) as made:
        made.joined(LOOP, SESSION, key)
        yield made, sink


@contextmanager
def seed(disk: Disk, key: bytes = KEY) -> Iterator[Seed]:
    with closing(SeedServer(Pass(LOOP, SESSION, key), disk)) as server:
        yield Seed(HOME, server.port)


def dead() -> Seed:
    with socket.create_server((HOME, 0)) as listener:
        return Seed(HOME, listener.getsockname()[1])


def test_a_client_gets_every_chunk_from_a_seed() -> None:
    with seed(Disk()) as one, client(Server(one)) as (peers, sink):
        assert all(peers.fetch(chunk) for chunk in range(len(CHUNKS)))
        assert [sink.taken[i] for i in range(len(CHUNKS))] == CHUNKS
        assert peers.taken == sum(map(len, CHUNKS))
        assert peers.banned == 0


def test_liars_the_dead_and_strangers_cost_a_try_each_and_no_wrong_byte() -> None:
    with seed(Disk(wrong=True)) as liar, seed(Disk(), key=bytes(32)) as stranger, seed(Disk()) as good:
        bad = (liar, stranger, dead())
        with client(Server(*bad, good)) as (peers, sink):
            got = [peers.fetch(chunk) for chunk in range(len(CHUNKS))]
            assert peers.banned == 3
        assert got.count(False) <= 2, "more than the seeds that were bad"
        assert all(sink.taken[i] == CHUNKS[i] for i, good in enumerate(got) if good)
        assert sorted(sink.taken) == [i for i, good in enumerate(got) if good]


def test_a_seed_that_stalls_is_left_in_time_and_never_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(castpeers, "FETCH_SECONDS", 0.3)
    with seed(Disk(seconds=1.0)) as slow, client(Server(slow)) as (peers, _):
        started = time.monotonic()
        assert not peers.fetch(0)
        assert time.monotonic() - started < 0.9
        started = time.monotonic()
        assert not any(peers.fetch(chunk) for chunk in range(len(CHUNKS)))
        assert time.monotonic() - started < 0.9


def test_a_seed_that_trickles_is_left_in_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(castpeers, "FETCH_SECONDS", 0.3)

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                for byte in b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100):
                    connection.sendall(bytes([byte]))
                    time.sleep(0.05)
            except OSError:
                return

    with socket.create_server((HOME, 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        started = time.monotonic()
        with pytest.raises(NetworkFailed):
            ask(MEMBER, Seed(HOME, listener.getsockname()[1]), 0)
        assert time.monotonic() - started < 0.9
        thread.join()


def test_a_seed_without_the_chunk_is_no_liar() -> None:
    disk = Disk(gone=True)
    with seed(disk) as one, client(Server(one)) as (peers, _):
        assert not peers.fetch(0)
        assert peers.banned == 0
        assert disk.readers_ever == 1
        disk.gone = False
        assert peers.fetch(0), "it may have it by now"


def test_a_seed_that_is_slow_to_refuse_is_not_asked_again() -> None:
    with seed(Disk(gone=True, seconds=REFUSAL_SECONDS + 0.2)) as one, client(Server(one)) as (peers, _):
        assert not peers.fetch(0)
        assert peers.banned == 1


def test_seeds_without_the_chunk_are_passed_over_for_one_that_has_it() -> None:
    without = [Disk(gone=True) for _ in range(3)]
    with ExitStack() as stack:
        seeds = [stack.enter_context(seed(disk)) for disk in (*without, Disk())]
        peers, sink = stack.enter_context(client(Server(*seeds)))
        assert all(peers.fetch(chunk) for chunk in range(len(CHUNKS)))
        assert len(sink.taken) == len(CHUNKS)
        assert peers.banned == 0


def test_a_busy_seed_refuses_at_once_and_reads_for_two() -> None:
    disk = Disk(seconds=0.3)
    with seed(disk) as one:
        answers: list[bytes | Answer] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(MEMBER, one, 0))) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert disk.most_readers == UPLOADS_MAX
    assert answers.count(Answer.BUSY) == len(answers) - UPLOADS_MAX


def test_no_stranger_reads_a_disk() -> None:
    disk = Disk()
    with seed(disk) as one:
        good = request_tag(KEY, SESSION, 1)
        for path, tag in (
            ("/chunks/1", request_tag(bytes(32), SESSION, 1)),
            ("/chunks/1", request_tag(KEY, SESSION + 1, 1)),
            ("/chunks/2", good),
            ("/chunks/1", ""),
            ("/chunks/-1", good),
            ("/chunks/" + "9" * 100, good),
            ("/../etc/passwd", good),
        ):
            said = raw(one, f"GET {path} HTTP/1.1\r\nAuthorization: Peer {tag}\r\n\r\n".encode())
            assert said.startswith(b"HTTP/1.1 401 "), path
        assert raw(one, b"\0" * 4000)[:13] in (b"HTTP/1.1 401 ", b"")
        assert raw(one, b"\r\n\r\n").startswith(b"HTTP/1.1 401 ")
        assert disk.most_readers == 0
        body = ask(MEMBER, one, 1)
        assert isinstance(body, bytes)
        assert unseal(KEY, SESSION, 1, body) == CHUNKS[1]
        assert CHUNKS[1][:100] not in body, "it travels in the clear"


def test_those_who_hold_connections_keep_nobody_out_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("castcore.edge.cast.seed.REQUEST_SECONDS", 0.3)
    with seed(Disk()) as one:
        held = [socket.create_connection((HOME, one.port)) for _ in range(40)]
        time.sleep(0.6)
        assert isinstance(ask(MEMBER, one, 0), bytes)
        for connection in held:
            connection.close()


def test_a_cast_whose_clients_exchange_nothing_opens_no_port_and_asks_nobody() -> None:
    server, disk = Server(stays=9), Disk()
    with closing(PeerClient(server, Sink(), [], disk)) as peers:
        peers.joined(LOOP, SESSION, b"")
        assert peers.port == 0
        assert not peers.fetch(0)
        peers.stay(5)
    assert server.asked == 0
    assert disk.closed


def test_a_seed_stays_while_it_is_wanted_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(castpeers, "STAY_POLL", 0.05)
    server = Server(stays=3)
    with closing(PeerClient(server, Sink(), [], Disk())) as peers:
        peers.joined(LOOP, SESSION, KEY)
        assert peers.port
        peers.stay(5)
        assert server.asked == 4
        server.stays = 10**6
        started = time.monotonic()
        peers.stay(0.3)
        assert 0.25 < time.monotonic() - started < 2
        port = peers.port
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((HOME, port), 1).close()


def raw(to: Seed, request: bytes) -> bytes:
    with socket.create_connection((HOME, to.port), 2) as connection:
        connection.sendall(request)
        try:
            return connection.recv(4096)
        except ConnectionResetError:
            return b""
