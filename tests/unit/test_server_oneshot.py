"""`fleetcast send`'s side of a cast that ends early: whoever still asks hears why, and does not wait."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from castcore.control import ONE_SHOT
from castcore.errors import BadImage, NotFound
from castserver.casts.castroutes import RunningCast
from castserver.casts.oneshot import OneShot


def admission(sender: Any) -> tuple[OneShot, RunningCast]:
    nothing = cast(Any, None)
    shot = OneShot(cast(Any, "the image"), sender, nothing, nothing, 0)
    found = shot.find(ONE_SHOT)
    assert found is not None
    return shot, found


def asked(running: RunningCast) -> list[str]:
    """What a client hears that asks for the descriptor, and one that asks for a chunk."""
    heard = []
    for ask in (running.current_sender, lambda: running.image):
        with pytest.raises(NotFound) as refused:
            ask()
        heard.append(refused.value.what)
    return heard


def test_while_the_cast_goes_on_everything_is_given() -> None:
    sender = SimpleNamespace(failure=None)
    shot, running = admission(sender)
    assert cast(Any, running.current_sender()) is sender
    assert cast(Any, running.image) == "the image"
    assert shot.find("another") is None


def test_a_senders_failure_is_told() -> None:
    _, running = admission(SimpleNamespace(failure=BadImage("pack-0000 is damaged")))
    assert asked(running) == ["pack-0000 is damaged"] * 2


def test_an_end_before_time_is_told() -> None:
    shot, running = admission(SimpleNamespace(failure=None))
    shot.end("the sender was stopped")
    assert asked(running) == ["the sender was stopped"] * 2
