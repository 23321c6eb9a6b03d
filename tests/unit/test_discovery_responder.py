"""Who answers for a server on several interfaces: each network has its own limit."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
from castcore.cast.discovery import NONCE_SIZE, UUID_SIZE, Discover, encode_discover, parse_offer
from castcore.edge.cast import responder
from castcore.edge.cast.responder import MOST_ANSWERS_PER_SENDER, DiscoveryResponder, OfferFields
from castcore.edge.net.interface import Interface
from castcore.trust import SigningKey

INTERFACES = [Interface(f"none{n}", n, f"10.0.{n}.1", 1000) for n in (1, 2, 3)]
ASKER = ("10.9.9.9", 4711)


class Wire:
    """A responder's socket on one interface: one end of a pair, the other is the asker's."""

    def __init__(self, stack: ExitStack, name: str, answers: SimpleQueue[tuple[str, str]]) -> None:
        mine, asker = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._mine, self.asker = stack.enter_context(mine), stack.enter_context(asker)
        self._name, self._answers = name, answers
        self.fileno, self.close = mine.fileno, mine.close

    def waiting(self) -> Iterator[tuple[bytes, tuple[str, int]]]:
        yield self._mine.recv(2000), ASKER

    def sendto(self, data: bytes, _to: object) -> None:
        self._answers.put((self._name, parse_offer(data).url))


def test_each_interface_has_its_own_limit_and_may_stay_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: SimpleQueue[tuple[str, str]] = SimpleQueue()
    question = encode_discover(Discover(bytes(UUID_SIZE), bytes(NONCE_SIZE)))

    def offer(own: Interface) -> OfferFields | None:
        return None if own.name == "none1" else OfferFields(f"https://{own.host}", bytes(32), "shop")

    with ExitStack() as stack:
        wires = {own.name: Wire(stack, own.name, answers) for own in INTERFACES}
        monkeypatch.setattr(responder, "answering_socket", lambda name, _family: wires[name])
        monkeypatch.setattr(responder, "waiting", lambda sock: sock.waiting())
        monkeypatch.setattr(responder, "time", SimpleNamespace(monotonic=lambda: 100.0))
        answering = DiscoveryResponder(offer, SigningKey(bytes(32)), INTERFACES)
        answering.start()
        stack.callback(answering.stop)
        for wire in wires.values():
            for _ in range(MOST_ANSWERS_PER_SENDER):
                wire.asker.send(question)
        got = [answers.get(timeout=5) for _ in range(2 * MOST_ANSWERS_PER_SENDER)]
    assert answering.dropped == 0
    assert answers.empty()
    assert set(got) == {("none2", "https://10.0.2.1"), ("none3", "https://10.0.3.1")}
