"""Boot trees that come and go while the server ends."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from castserver.netboot.bootserving import BootServing

TREE = Path("/nonexistent")


class Booting:
    """In place of `castserver.netboot.booting.Booting`: a start that takes until it ``may_start``."""

    def __init__(self) -> None:
        self.runs = False
        self.starting, self.may_start, self.stopped = (threading.Event() for _ in range(3))

    def assume(self, *_: object) -> None:
        pass

    def start(self, _keepers: object) -> None:
        self.starting.set()
        assert self.may_start.wait(10)
        self.runs = True

    def stop(self) -> None:
        self.runs = False
        self.stopped.set()


@pytest.fixture
def booting() -> Booting:
    return Booting()


@pytest.fixture
def serving(booting: Booting) -> BootServing:
    settings: Any = SimpleNamespace(interfaces=(), deploy_ends=None)
    parts: Any = SimpleNamespace(booting=booting)
    listeners: Any = None
    return BootServing(settings, b"", parts, listeners)


def join() -> None:
    """Wait for what follows the trees."""
    for thread in threading.enumerate():
        if thread.name == "boot tree":
            thread.join(10)


def test_a_tree_that_begins_to_be_served_at_the_end_is_stopped(
    booting: Booting, serving: BootServing
) -> None:
    serving.follow(TREE)
    assert booting.starting.wait(10)
    booting.stopped.clear()
    stopper = threading.Thread(target=serving.stop)
    stopper.start()
    assert booting.stopped.wait(10)
    booting.may_start.set()
    stopper.join(10)
    join()
    assert not booting.runs


def test_a_tree_that_comes_after_the_end_is_not_served(booting: Booting, serving: BootServing) -> None:
    booting.may_start.set()
    serving.follow(TREE)
    join()
    assert booting.runs
    serving.stop()
    serving.follow(TREE)
    join()
    assert not booting.runs
