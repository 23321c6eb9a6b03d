"""Whatever an NBD client sends: answers or a hang-up, bounded memory, and others are served on."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

from castcore.edge.nbd.server import MOST_CLIENTS, NbdServer, listening
from castcore.nbd.session import MOST_OPTION, Hangup, ReadRequest, Session
from hypothesis import given
from hypothesis import strategies as st

SIZE = 1 << 20


class Zeros:
    size = SIZE

    def runs(self, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        return [(min(length, SIZE - offset), False)][:most]

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= SIZE
        return bytes(length)


NUMBERS = st.one_of(st.integers(0, 12), st.integers(0, 0xFFFFFFFF))
OPTIONS = st.builds(
    lambda number, data, more: struct.pack(">QII", 0x49484156454F5054, number, len(data) + more) + data,
    NUMBERS,
    st.binary(max_size=60),
    st.sampled_from([0, 0, 0, 1, MOST_OPTION, 0xFFFFFF00]),
)
COMMANDS = st.builds(
    lambda flags, kind, offset, length: struct.pack(
        ">IHHQQI", 0x25609513, flags, kind, 1, offset, length
    ),
    st.sampled_from([0, 0, 8, 0xFFFF]),
    st.integers(0, 9),
    st.one_of(st.integers(0, SIZE), st.integers(0, (1 << 64) - 1)),
    st.one_of(st.integers(0, 4096), st.integers(0, 0xFFFFFFFF)),
)
GO = struct.pack(">QII", 0x49484156454F5054, 7, 6) + bytes(6)
STRUCTURED = struct.pack(">QII", 0x49484156454F5054, 8, 0)


@given(
    st.lists(st.one_of(OPTIONS, st.just(STRUCTURED), st.binary(max_size=40)), max_size=6),
    st.lists(st.one_of(COMMANDS, st.binary(max_size=40)), max_size=12),
    st.integers(1, 5000),
)
def test_a_session_answers_or_hangs_up(options: list[bytes], commands: list[bytes], step: int) -> None:
    session = Session({"": Zeros()})
    spoken = b"".join([struct.pack(">I", 3), *options, GO, *commands])
    with suppress(Hangup):
        for at in range(0, len(spoken), step):
            for answer in session.feed(spoken[at : at + step]):
                if isinstance(answer, ReadRequest):
                    assert 0 < answer.length <= SIZE - answer.offset
                    assert len(session.read_failed(answer, "x" * 9000, started=False)) < 5000
                else:
                    assert len(answer) < 100
            assert len(session._buffer) <= MOST_OPTION + 32


def read_some(port: int) -> bytes:
    """An honest client's 512 bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        file = client.makefile("rb")
        file.read(18)
        client.sendall(struct.pack(">I", 3) + struct.pack(">QII", 0x49484156454F5054, 1, 0))
        file.read(10)
        client.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 9, 0, 512))
        return file.read(16 + 512)[16:]


def test_hostile_clients_end_their_own_connections_only() -> None:
    with listening("127.0.0.1", 0) as listener:
        server = NbdServer(listener, {"": Zeros()})
        runner = threading.Thread(target=server.run)
        runner.start()
        port = listener.getsockname()[1]
        try:
            hostile = (b"", b"\xff" * 5000, struct.pack(">I", 3) + b"GET / HTTP/1.1\r\n\r\n" * 9)
            # Room for each that comes: the server may still be counting those that have just gone.
            room = 2 * len(hostile)
            silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST_CLIENTS - room)]
            for nonsense in hostile:
                client = socket.create_connection(("127.0.0.1", port), timeout=10)
                with client, suppress(OSError):
                    client.sendall(nonsense)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(4096):
                        pass
                assert read_some(port) == bytes(512)
            for client in silent:
                client.close()
        finally:
            server.stop()
            runner.join(10)
    assert not runner.is_alive()
