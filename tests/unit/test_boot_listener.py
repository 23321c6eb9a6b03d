"""The edge of the DHCP services over a port that is made up; and HTTP's places."""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from castcore.boot import BootDecision, Everyone, proxy_decide
from castcore.edge.net import nics
from castcore.edge.net.nics import LinkState
from castcore.errors import NetworkFailed
from castserver.services import boothttp, dhcplistener
from castserver.services.bootfiles import BootFiles
from castserver.services.boothttp import BootHttp
from castserver.services.dhcplistener import Asked, DhcpListener

from tests.support.bootasking import PLACE, request


class Port:
    """A port from which nothing can be sent."""

    port = 67

    def __init__(self) -> None:
        self._pair = socket.socketpair()

    def fileno(self) -> int:
        return self._pair[0].fileno()

    def receive(self) -> tuple[bytes, tuple[str, int]]:
        raise BlockingIOError

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        del data, to
        raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

    def close(self) -> None:
        for end in self._pair:
            end.close()


def test_answers_that_cannot_be_sent_are_told_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    port = Port()
    listener = DhcpListener(
        "eth1",
        PLACE.address,
        [port],
        lambda asked, number: proxy_decide(asked, number, PLACE, Everyone(BootDecision.CLIENT)),
        lambda _: None,
    )
    with caplog.at_level(logging.WARNING):
        for number in range(1, 51):
            asked = replace(request(7), giaddr=IPv4Address(f"203.0.113.{number}"))
            listener.handle(Asked(asked, ("203.0.113.1", 67), port))
        listener.flush()
        assert [r.getMessage().partition(":67")[0] for r in caplog.records] == [
            "a DHCP answer to 203.0.113.1"
        ]
        now += dhcplistener.WARN_SECONDS
        listener.handle(Asked(asked, ("203.0.113.1", 67), port))
        listener.flush()
    assert len(caplog.records) == 2
    assert "49 others" in caplog.records[1].getMessage()
    assert listener.counters.answered == 0
    listener.stop()


def test_one_address_cannot_take_all_places_of_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boothttp, "MOST_OF_ONE_ADDRESS", 3)
    http = BootHttp("127.0.0.1", 0, BootFiles({}, {}), lambda _: None)
    http.start()
    asking = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"

    def opened(address: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", http.port), 10, (address, 0))

    def answered(one: socket.socket) -> bool:
        try:
            one.sendall(asking)
            return one.recv(100).startswith(b"HTTP/1.1 404")
        except ConnectionError:
            return False

    try:
        held = [opened("127.0.0.2") for _ in range(3)]
        assert all(map(answered, held))
        with opened("127.0.0.2") as more, opened("127.0.0.3") as other:
            assert not answered(more)
            assert answered(other)
        for one in held:
            one.close()
        # Its places are free again, as soon as their threads have noticed.
        for _ in range(1000):
            with opened("127.0.0.2") as again:
                if answered(again):
                    break
        else:
            pytest.fail("the places were not given back")
    finally:
        http.stop()


def test_only_an_interface_that_is_not_there_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nics.link_state("nosuch0", "10.0.0.1") is LinkState.GONE
    assert nics.link_state("lo", "127.0.0.1") is LinkState.UP

    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", full)
    with pytest.raises(NetworkFailed, match="Too many open files"):
        nics.link_state("lo", "127.0.0.1")
