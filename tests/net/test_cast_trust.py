"""Casts with a MAC and encryption, and casts that somebody in the same network forges packets into."""

from __future__ import annotations

import sys

import pytest

from tests.support.castlab import cast_lab
from tests.support.castpeer import SeededSource

pytestmark = pytest.mark.root

CHUNKS = 60
BYTES = sum(SeededSource(CHUNKS).stored_lengths())
SECONDS = 120


def test_a_cast_with_mac_and_encryption_is_repaired_like_any_other() -> None:
    with cast_lab("seal", 2) as lab:
        lab.lose(0, 10)
        count = ["--chunks", str(CHUNKS)]
        # Paced, so that loss alone is repaired: unpaced, a busy machine sheds blocks too.
        sender = lab.sender(*count, "--clients", "2", "--rate", "15", "--mac", "--encrypt")
        sender.until(lambda e: e["event"] == "ready", SECONDS)
        receivers = [lab.receiver(i, *count) for i in range(2)]
        for receiver in receivers:
            result = receiver.result(SECONDS)
            assert result["complete"]
            assert (result["unicast"], result["refused"]) == (0, 0)
            assert result["multicast"] == BYTES + 16 * CHUNKS
        status = sender.result(SECONDS)
    assert all(client["done"] for client in status["clients"])
    assert status["sent"] <= 1.10 * BYTES


@pytest.mark.parametrize("mac", [False, True])
def test_whoever_forges_in_the_same_network_costs_little(*, mac: bool) -> None:
    """A third machine poisons symbols, leaps in numbers, replays beacons, forges control, all along."""
    with cast_lab("forge", 3) as lab:
        count = ["--chunks", str(CHUNKS)]
        forger = lab.start(
            "r2",
            *(sys.executable, "-m", "tests.support.castforger"),
            "--address=10.9.0.12",
            "--seconds=60",
        )
        sender = lab.sender(*count, "--clients", "2", "--rate", "20", *(["--mac"] if mac else []))
        sender.until(lambda e: e["event"] == "ready", SECONDS)
        forger.until(lambda e: e["event"] == "ready", SECONDS)
        for receiver in [lab.receiver(i, *count) for i in range(2)]:
            result = receiver.result(SECONDS)
            assert result["complete"]
            assert (result["refused"] == 0) == mac, "the forged symbols got where they should not"
            assert result["unicast"] <= 0.1 * BYTES, "forgery turned the cast into downloads"
        status = sender.result(SECONDS)
        forged = forger.until(lambda e: e.get("packets", 0) > 200, SECONDS)
        forger.kill()
    assert forged
    assert all(client["done"] for client in status["clients"])
    assert status["sent"] <= 1.5 * BYTES
