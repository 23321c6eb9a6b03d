"""The thread that waits for sockets survives its handlers and frees what it holds."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator

import pytest
from castserver.services.loop import SocketLoop


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        yield ours, theirs


def test_a_handler_that_raises_is_logged_and_the_next_packet_is_handled(
    pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = pair
    handled = threading.Event()

    def handle() -> None:
        if ours.recv(10) == b"bad":
            raise ZeroDivisionError("a bug")
        handled.set()

    loop = SocketLoop("test")
    loop.add(ours, handle)
    with caplog.at_level(logging.ERROR):
        loop.start()
        theirs.send(b"bad")
        theirs.send(b"good")
        assert handled.wait(5)
    loop.stop()
    assert "a handler failed" in caplog.text


def test_what_is_removed_is_handled_no_more(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    counted: list[bytes] = []
    ticked = threading.Event()
    loop = SocketLoop("test", tick=ticked.set)

    def handle() -> None:
        counted.append(ours.recv(10))
        loop.remove(ours)

    loop.add(ours, handle)
    loop.start()
    theirs.send(b"1")
    theirs.send(b"2")
    assert ticked.wait(5)
    loop.stop()
    assert counted == [b"1"]


def test_a_loop_never_started_can_be_stopped_twice() -> None:
    loop = SocketLoop("test")
    loop.stop()
    loop.stop()
