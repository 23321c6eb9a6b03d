"""A receiver that joins again while the machine's addresses come and go: it tries until it hears."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from castcore.cast.blocks import lengths_digest
from castcore.cast.descriptor import CastDescriptor, encode_descriptor
from castcore.cast.values import JoinAnswer
from castcore.edge.cast import receiver, sockets
from castcore.edge.cast.multicast import Batch
from castcore.edge.cast.sockets import Ears
from castcore.edge.net.interface import Interface
from castcore.errors import NetworkFailed, NotFound, Refused
from castcore.trust import SigningKey

KEY = SigningKey(bytes(32))
LENGTHS = (1000,)
ETH = Interface("eth1", 3, "192.0.2.7", 1000)
MOVED = Interface("eth2", 4, "198.51.100.7", 1000)


def descriptor(session: int) -> CastDescriptor:
    digests = (bytes(32), bytes(32), lengths_digest(LENGTHS))
    names = (KEY.public, KEY.public, *digests)
    return CastDescriptor(session, "lab", *names, 1, 1000, 1424, "239.193.0.1", 7100, "192.0.2.1:7101")


class Machine:
    """Its sockets and its interface; each attempt to open one or to find it takes the next of a list."""

    def __init__(self, finds: list[Interface | None], opens: list[bool]) -> None:
        self._finds, self._opens = finds, opens
        self.log: list[str] = []
        self.stop = threading.Event()

    def find(self, *_: Any) -> Interface:
        found = self._finds.pop(0) if len(self._finds) > 1 else self._finds[0]
        if found is None:
            self.log.append("no address")
            raise NotFound("the interface has no address")
        return found

    def ears(self, interface: Interface, *_: Any, **__: Any) -> Any:
        if not self._opens.pop(0):
            self.log.append(f"cannot open {interface.name}")
            raise NetworkFailed("cannot assign requested address")
        self.log.append(f"open {interface.name}")
        if not self._opens:
            self.stop.set()
        return SimpleNamespace(
            deep=False,
            answers=lambda: (),
            receive=lambda: Batch(memoryview(b""), (), 0, 0, more=False),
            wait=lambda _: threading.Event().wait(0.001),
            say=lambda _: None,
            member=lambda **_: None,
            close=lambda: self.log.append(f"close {interface.name}"),
        )


@pytest.mark.parametrize("lost_first", [False, True])
def test_an_address_that_is_gone_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, *, lost_first: bool
) -> None:
    finds: list[Interface | None] = [ETH, None, MOVED] if lost_first else [ETH, MOVED]
    machine = Machine(finds, [True, False, True])
    monkeypatch.setattr(receiver, "find_interface", machine.find)
    monkeypatch.setattr(receiver, "Ears", machine.ears)
    monkeypatch.setattr(receiver, "REJOIN_SECONDS", 0.01)
    control = SimpleNamespace(
        descriptor=lambda: encode_descriptor(descriptor(2), KEY),
        join=lambda _held: JoinAnswer(1, bytes(32), 0),
    )
    with pytest.raises(Refused):
        receiver.receive(
            cast(Any, control),
            descriptor(1),
            LENGTHS,
            cast(Any, None),
            interface="eth1",
            progress=lambda _: None,
            stop=machine.stop,
        )
    waited = ["no address"] if lost_first else []
    assert machine.log == [
        "open eth1",
        *waited,
        "cannot open eth2",
        "open eth2",
        "close eth1",
        "close eth2",
    ]


def test_sockets_of_an_address_that_is_gone_are_refused_and_none_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[bool] = []
    group = SimpleNamespace(deep=True, socket=SimpleNamespace(close=lambda: closed.append(True)))
    monkeypatch.setattr(sockets, "GroupReceiver", lambda *_, **__: group)
    with pytest.raises(NetworkFailed, match=r"192\.0\.2\.7 on eth1"):
        Ears(ETH, descriptor(1), segment=1468, offload=False, deaf=False)
    assert closed == [True]
