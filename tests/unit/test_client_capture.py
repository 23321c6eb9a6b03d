"""The client and an order to capture: begun, told again, not begun twice; which disks are meant."""

from __future__ import annotations

import pytest
from castclient import screen
from castclient.capturejob import chosen
from castclient.happening import Happening, leaving_kind
from castclient.model import CastNow, Model
from castclient.phases import Action, Event, Phase
from castcore.control import AfterCast, ClientState, Order, OrderKind
from castcore.disk import DiskFacts
from castcore.errors import DiskFailed, NotFound
from castcore.units import GIB

from tests.unit.test_client_program import FakeWorld, ready

ORDER = Order(1, OrderKind.CAPTURE, "k1", AfterCast.STAY, image="office-52", disks=("wwn-1",))
DONE = CastNow("k1", ClientState.DONE, done=10, total=10, root="ab" * 32)


def test_an_order_to_capture_is_carried_out_and_told() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAPTURE, order=ORDER))
    assert world.performed[-1] == (Action.CAPTURE, ORDER)
    assert str(subject.model.phase) == "casting"
    now = CastNow("k1", ClientState.CAPTURING, done=3, total=10, detail="2 B stored")
    subject.handle(Happening(Event.PROGRESS, now=now))
    assert subject.model.state == "capturing"
    told = world.told[-1]
    assert (told.state, told.cast, told.done, told.message) == (
        ClientState.CAPTURING,
        "k1",
        3,
        "2 B stored",
    )
    subject.handle(Happening(Event.CAST_DONE, now=DONE))
    assert subject.model.phase is Phase.DONE
    assert world.told[-1].root == "ab" * 32
    assert leaving_kind(ORDER) is None, "the machine stays"


def test_an_order_while_it_captures_has_no_place_and_one_for_what_is_done_is_told_again() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAPTURE, order=ORDER))
    subject.handle(Happening(Event.ORDER_CAPTURE, order=ORDER))
    assert [action for action, _ in world.performed].count(Action.CAPTURE) == 1
    subject.handle(Happening(Event.CAST_DONE, now=DONE))
    subject.handle(Happening(Event.ORDER_CAPTURE, order=ORDER))
    assert [action for action, _ in world.performed].count(Action.CAPTURE) == 1
    assert world.performed[-1][0] is Action.TELL


def test_one_that_failed_is_told_with_its_reason_and_may_be_ordered_anew() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAPTURE, order=ORDER))
    failure = DiskFailed("/dev/sda cannot be read")
    subject.handle(Happening(Event.CAST_FAILED, text=failure.what, error=failure))
    assert (world.told[-1].state, world.told[-1].cast) == (ClientState.FAILED, "k1")
    assert world.told[-1].message == "/dev/sda cannot be read"
    subject.handle(Happening(Event.ORDER_CAPTURE, order=ORDER))
    assert world.performed[-1][0] is Action.CAPTURE


def test_disks_are_known_by_what_stays() -> None:
    disks = [DiskFacts(f"/dev/sd{x}", f"wwn-{n}", GIB, 512) for n, x in enumerate("ba")]
    assert [disk.path for disk in chosen(("wwn-1", "wwn-0"), disks)] == ["/dev/sda", "/dev/sdb"]
    with pytest.raises(NotFound):
        chosen(("wwn-2",), disks)


def test_every_state_has_its_screen() -> None:
    for state in ClientState:
        now = CastNow("k1", state, done=3, total=10)
        model = Model("0.1", phase=Phase.CASTING, cast=now)
        assert len(screen.render(model, 80, 25)) == 25
