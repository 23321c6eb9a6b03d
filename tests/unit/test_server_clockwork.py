"""What a server does once a second goes on, whatever one of its parts stumbles over."""

from __future__ import annotations

import logging

import pytest
from castcore.errors import DiskFailed
from castserver.runtime import tick_all
from castserver.seldom import Seldom

from tests.support.serverlab import FakeClock


def test_a_tick_that_fails_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    ticked: list[str] = []

    def gone() -> None:
        raise OSError(19, "No such device")

    def full() -> None:
        raise DiskFailed("the disk is full")

    clock = FakeClock()
    seldom = Seldom(60.0, clock)
    with caplog.at_level(logging.ERROR, "fleetcast"):
        for _ in range(3):
            tick_all([gone, full, lambda: ticked.append("last")], seldom)
        clock.now += 60
        tick_all([gone], seldom)
    assert ticked == ["last"] * 3
    assert caplog.text.count("the disk is full") == 3
    # With where it came from, but not at every tick.
    assert caplog.text.count("Traceback") == 2
    assert "in gone" in caplog.text
