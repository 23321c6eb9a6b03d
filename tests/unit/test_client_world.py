"""The client's hands: what a try of a cast is told of the one before."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from castclient import world
from castclient.happening import Happening
from castclient.journal import Journal
from castclient.phases import Action, Event
from castclient.settings import Settings
from castcore.control import Order, OrderKind
from castcore.disk import DiskFacts
from castcore.errors import NetworkFailed

ORDER = Order(1, OrderKind.CAST, "c1")
DISK = DiskFacts("/dev/sdb", "serial-1", 1 << 30, 512)


class FailingJob:
    """A cast that chooses DISK, as long as none was chosen before, and fails."""

    befores: list[tuple[DiskFacts, ...]]

    def __init__(self, *_: Any, **given: Any) -> None:
        self._given = given

    def run(self) -> None:
        self.befores.append(self._given["before"])
        if not self._given["before"]:
            self._given["chosen"]((DISK,))
        raise NetworkFailed("the cast was ended")


@pytest.fixture
def befores(monkeypatch: pytest.MonkeyPatch) -> list[tuple[DiskFacts, ...]]:
    FailingJob.befores = []
    monkeypatch.setattr(world, "CastJob", FailingJob)
    return FailingJob.befores


def test_only_a_try_by_itself_is_bound_to_the_disks_of_the_one_before(
    befores: list[tuple[DiskFacts, ...]],
) -> None:
    subject = world.RealWorld(Settings(), Journal(), ())
    subject._link = SimpleNamespace(cast=lambda _: None, server=SimpleNamespace(key=b"k"))  # type: ignore[assignment]

    def tried(event: Event) -> bool:
        ended = threading.Event()
        subject.perform(Action.CAST, Happening(event), ORDER, lambda _: ended.set())
        return ended.wait(20)

    try:
        assert all(map(tried, (Event.ORDER_CAST, Event.AGAIN, Event.AGAIN, Event.ORDER_CAST)))
    finally:
        subject._link = None
        subject.close()
    assert befores == [(), (DISK,), (DISK,), ()]
    assert subject.targets() == {"/dev/sdb"}
