"""Casts with a MAC and encryption, and casts that somebody in the same network forges packets into."""

from __future__ import annotations

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
        sender = lab.sender(*count, "--clients", "2", "--mac", "--encrypt")
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
