"""Casts over a real switch of our own: loss, late, deaf and killed receivers, a killed sender."""

from __future__ import annotations

import time

import pytest
from castcore.cast.constants import BLOCK_MAX, GONE_SECONDS

from tests.support.castlab import CastLab, Peer, cast_lab
from tests.support.castpeer import SeededSource

pytestmark = pytest.mark.root

CHUNKS = 100
BYTES = sum(SeededSource(CHUNKS).stored_lengths())
SECONDS = 120


def begin(
    lab: CastLab, *arguments: str, receivers: int, chunks: int = CHUNKS
) -> tuple[Peer, list[Peer]]:
    count = ["--chunks", str(chunks)]
    sender = lab.sender(*count, "--clients", str(receivers), *arguments)
    sender.until(lambda e: e["event"] == "ready", SECONDS)
    return sender, [lab.receiver(i, *count) for i in range(receivers)]


def half_way(sender: Peer, total: int) -> None:
    sender.until(lambda e: e.get("sent", 0) >= total * 0.4, SECONDS)


def test_four_receivers_at_one_percent_loss_get_every_byte_by_multicast() -> None:
    with cast_lab("loss", 4) as lab:
        for number in range(4):
            lab.lose(number, 10)
        # Paced, so that loss alone is repaired: unpaced, a busy machine sheds blocks too.
        sender, receivers = begin(lab, "--rate", "25", receivers=4)
        for receiver in receivers:
            result = receiver.result(SECONDS)
            assert result["complete"]
            assert result["multicast"] >= 0.99 * BYTES
            assert result["repaired"] > 0, "nothing was lost: the lab does not do what it says"
        status = sender.result(SECONDS)
    assert all(client["done"] for client in status["clients"])
    assert status["sent"] <= 1.10 * BYTES


def test_segmentation_and_coalescing_can_be_refused() -> None:
    with cast_lab("plain", 1) as lab:
        count = ["--chunks", "40", "--no-offload"]
        sender = lab.sender(*count)
        sender.until(lambda e: e["event"] == "ready", SECONDS)
        result = lab.receiver(0, *count).result(SECONDS)
        assert result["complete"]
        assert not sender.result(SECONDS)["gso"]


def test_a_late_receiver_gets_the_head_in_the_next_lap() -> None:
    with cast_lab("late", 2) as lab:
        sender = lab.sender("--chunks", str(CHUNKS), "--clients", "1", "--rate", "40")
        sender.until(lambda e: e["event"] == "ready", SECONDS)
        first = lab.receiver(0, "--chunks", str(CHUNKS))
        half_way(sender, BYTES)
        late = lab.receiver(1, "--chunks", str(CHUNKS))
        joined = sender.until(lambda e: len(e.get("clients", ())) == 2, SECONDS)
        assert first.result(SECONDS)["unicast"] == 0
        result = late.result(SECONDS)
        assert result["complete"]
        assert result["multicast"] >= 0.95 * BYTES
        status = sender.result(SECONDS)
    assert status["lap"] >= 2
    missed = min(joined["sent"], BYTES)
    assert status["sent"] <= 1.02 * (BYTES + missed), "the lap sent what nobody missed"


def test_a_killed_receiver_holds_nobody_up() -> None:
    with cast_lab("kill", 3) as lab:
        sender, receivers = begin(lab, "--rate", "40", receivers=3)
        half_way(sender, BYTES)
        receivers[2].kill()
        killed_at = time.monotonic()
        for receiver in receivers[:2]:
            assert receiver.result(SECONDS)["unicast"] == 0
        assert time.monotonic() - killed_at < 9, "they waited for the dead one"
        status = sender.result(SECONDS)
    assert sorted(c["class"] for c in status["clients"]) == ["done", "done", "gone"]


def test_a_receiver_whose_disks_take_long_to_clear_is_heard_all_the_time() -> None:
    with cast_lab("clear", 2) as lab:
        count = ["--chunks", str(CHUNKS)]
        sender = lab.sender(*count, "--clients", "2", "--rate", "40")
        sender.until(lambda e: e["event"] == "ready", SECONDS)
        # Longer than a silent client is waited for.
        slow, other = lab.receiver(0, *count, "--first", str(GONE_SECONDS + 3)), lab.receiver(1, *count)
        assert other.result(SECONDS)["unicast"] == 0
        assert slow.result(SECONDS)["complete"]
        status = sender.result(SECONDS)
    assert [c["class"] for c in status["clients"]] == ["done", "done"]
    assert {c["class"] for e in sender.events for c in e.get("clients", ())}.isdisjoint({"gone"})


def test_receivers_wait_for_a_killed_sender_and_go_on_with_the_next() -> None:
    with cast_lab("restart", 2) as lab:
        sender, receivers = begin(lab, "--rate", "30", receivers=2)
        half_way(sender, BYTES)
        sender.kill()
        had = [
            r.until(lambda e: e.get("detail") == "server gone, waiting", 30)["done"] for r in receivers
        ]
        again = lab.sender("--chunks", str(CHUNKS), "--clients", "2")
        for receiver in receivers:
            result = receiver.result(SECONDS)
            assert result["complete"]
            assert result["unicast"] == 0
        status = again.result(SECONDS)
    assert status["state"] == "closed"
    assert status["sent"] <= 1.05 * (BYTES - min(had)) + BLOCK_MAX, "what all had was sent again"


def test_a_receiver_that_multicast_does_not_reach_gets_all_by_unicast() -> None:
    with cast_lab("deaf", 2) as lab:
        lab.deafen(1)
        sender, receivers = begin(lab, "--serve-after", "30", receivers=2, chunks=30)
        assert receivers[0].result(SECONDS)["unicast"] == 0
        deaf = receivers[1].result(SECONDS)
        assert deaf["complete"]
        assert deaf["multicast"] == 0
        assert deaf["unicast"] == sum(SeededSource(30).stored_lengths())
        sender.kill()


def test_a_receiver_behind_a_slow_link_leaves_the_group_and_fills_its_link() -> None:
    """The switch snoops: once it has left, its link carries what it fetches and nothing else."""
    with cast_lab("straggler", 3) as lab:
        lab.snoop()
        lab.shape("hub/r2", 40, queue=128 << 10)
        sender, receivers = begin(lab, "--rate", "25", "--serve-after", "30", receivers=3, chunks=150)
        others = [r.result(SECONDS) for r in receivers[:2]]
        slow = receivers[2].result(SECONDS)
        sender.kill()
    total = sum(SeededSource(150).stored_lengths())
    assert all(r["complete"] and r["unicast"] == 0 for r in others)
    assert slow["complete"]
    assert "link slower than the cast, by unicast" in slow["details"]
    assert slow["unicast"] >= 0.6 * total
    assert slow["seconds"] <= 1.6 * total / (40e6 / 8 * 1424 / 1494)
    assert max(r["seconds"] for r in others) < 0.5 * slow["seconds"]


def test_a_receiver_behind_a_slow_link_and_a_switch_that_floods_waits_for_the_pass() -> None:
    with cast_lab("flooded", 3) as lab:
        lab.shape("hub/r2", 40, queue=128 << 10)
        sender, receivers = begin(lab, "--rate", "20", "--serve-after", "30", receivers=3, chunks=150)
        assert all(r.result(SECONDS)["unicast"] == 0 for r in receivers[:2])
        slow = receivers[2].result(SECONDS)
        sender.kill()
    assert slow["complete"]
    parked = slow["details"].index("link slower than the cast, waiting for its end")
    assert "link slower than the cast, by unicast" in slow["details"][parked:]


def test_a_group_of_slow_receivers_sets_the_pace() -> None:
    """All three can put 25 MB/s: laps and parity must not become most of the traffic."""
    with cast_lab("slow", 3) as lab:
        sender = lab.sender("--chunks", str(CHUNKS), "--clients", "3")
        sender.until(lambda e: e["event"] == "ready", SECONDS)
        arguments = ["--chunks", str(CHUNKS), "--slow", "0.08"]
        for receiver in [lab.receiver(i, *arguments) for i in range(3)]:
            result = receiver.result(SECONDS)
            assert result["complete"]
            assert result["multicast"] >= 0.95 * BYTES
        sender.result(SECONDS)
