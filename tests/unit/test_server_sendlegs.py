"""`fleetcast send` on several interfaces: a lost one ends its leg for good, and no other."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from castcore.cast.states import ClientClass, SenderState
from castcore.cast.status import CastStatus, ClientStatus
from castcore.errors import FleetcastError, NotFound
from castserver.casts.legs import Legs
from castserver.casts.oneshot import OneShot

LOST = "eth1 has no link"


class FakeSender:
    """A sender that ends when told."""

    def __init__(self) -> None:
        self.clients: list[str] = []
        self.started = self.ended = self.stopped = False
        self.failure: FleetcastError | None = None

    def join(self, client: str, _held: bytes) -> None:
        self.clients.append(client)

    def start(self) -> None:
        self.started = True

    def stop(self, *, abort: bool = False) -> None:
        assert not abort
        self.stopped = True

    def finished(self) -> bool:
        return self.ended or self.stopped

    def wait(self, _seconds: float) -> bool:
        return self.finished()

    def status(self) -> CastStatus:
        clients = tuple(
            ClientStatus(c, ClientClass.OK, 50, 0.5, 10.0, 3, 6, 960, 0, 0, 0, done=self.ended)
            for c in self.clients
        )
        return CastStatus(SenderState.PASS, 100, 1000, 10, 1, 3, clients)


class Cast:
    """Legs on eth1, eth2, ...; a test sets why one is lost in ``lost``."""

    def __init__(self, count: int) -> None:
        self.lost = [""] * count
        self.senders = [FakeSender() for _ in range(count)]
        self.shots = [self._shot(n, sender) for n, sender in enumerate(self.senders, 1)]
        self.legs = Legs(self.shots, [partial(self.lost.__getitem__, n) for n in range(count)])

    def _shot(self, number: int, sender: FakeSender) -> OneShot:
        interface = SimpleNamespace(name=f"eth{number}")
        image, nothing = cast(Any, "the image"), cast(Any, None)
        return OneShot(image, cast(Any, sender), nothing, cast(Any, interface), 0)

    def kinds(self) -> dict[str, ClientClass]:
        return {c.client: c.kind for c in self.legs.status().clients}


@pytest.fixture
def going() -> Cast:
    """A cast under way on two legs, a client on each; then eth1 is lost."""
    made = Cast(2)
    for shot, client in zip(made.shots, ("pc1", "pc2"), strict=True):
        shot.join(client, b"")
    made.legs.start()
    made.lost[0] = LOST
    return made


def test_the_other_legs_go_on_to_their_end(going: Cast) -> None:
    one, two = going.senders
    for _ in range(3):
        assert not going.legs.wait(0)
    assert (one.stopped, two.stopped, two.started) == (True, False, True)
    assert going.legs.failure is None
    assert going.kinds() == {"pc1": ClientClass.GONE, "pc2": ClientClass.OK}
    two.ended = True
    assert going.legs.wait(0)
    done = {c.client: c.done for c in going.legs.status().clients}
    assert done == {"pc1": False, "pc2": True}


def test_a_client_that_still_reaches_a_lost_leg_is_told_why(going: Cast) -> None:
    going.legs.wait(0)
    lost = going.shots[0]
    for ask in (lost.current_sender, lambda: lost.image, lambda: lost.join("pc3", b"")):
        with pytest.raises(NotFound, match=LOST):
            ask()
    assert going.senders[1].clients == ["pc2"], "nobody is let into a leg behind its back"


def test_a_client_that_joins_another_leg_is_waited_for_there() -> None:
    cast_ = Cast(3)
    for shot, client in zip(cast_.shots, ("pc1", "pc2"), strict=False):
        shot.join(client, b"")
    cast_.legs.start()
    cast_.lost[0] = LOST
    assert not cast_.legs.wait(0)
    cast_.shots[2].join("pc1", b"")
    cast_.senders[1].ended = True
    assert not cast_.legs.wait(0)
    assert cast_.senders[2].started
    assert cast_.legs.joined == 2
    assert cast_.kinds()["pc1"] is ClientClass.OK
    cast_.senders[2].ended = True
    assert cast_.legs.wait(0)


def test_the_cast_fails_when_every_leg_is_lost(going: Cast) -> None:
    going.lost[1] = "the interface eth2 is gone"
    going.legs.look()
    assert going.legs.failure is not None
    assert "eth2 is gone" in going.legs.failure.what
