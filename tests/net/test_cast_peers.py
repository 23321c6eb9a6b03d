"""Finished clients serve those whom multicast does not reach, over a real switch of our own."""

from __future__ import annotations

import pytest

from tests.support.castlab import CastLab, Peer, cast_lab
from tests.support.castpeer import SeededSource

pytestmark = pytest.mark.root

CHUNKS = 60
BYTES = sum(SeededSource(CHUNKS).stored_lengths())
SECONDS = 120
STAY = ["--seed", "60"]


def deaf_among(lab: CastLab, kinds: list[str], *arguments: str) -> tuple[Peer, list[Peer], Peer]:
    """A cast to receivers that then serve as these ``kinds``, and to one more, which is deaf.

    Until it notices that it is, the others have finished.
    """
    count, deaf = ["--chunks", str(CHUNKS)], len(kinds)
    lab.deafen(deaf)
    sender = lab.sender(*count, "--clients", str(deaf + 1), "--serve-after", "60", *arguments)
    sender.until(lambda e: e["event"] == "ready", SECONDS)
    seeds = [lab.receiver(i, *count, *STAY, "--seed-as", kind) for i, kind in enumerate(kinds)]
    return sender, seeds, lab.receiver(deaf, *count)


def test_a_deaf_receiver_gets_most_of_its_chunks_from_finished_ones() -> None:
    with cast_lab("peers", 4) as lab:
        _, seeds, deaf = deaf_among(lab, ["honest"] * 3)
        result = deaf.result(SECONDS)
        assert result["complete"]
        assert result["multicast"] == 0
        assert result["peers"] >= 0.7 * BYTES
        assert result["peers"] + result["unicast"] == BYTES
        served = [seed.result(30)["served"] for seed in seeds]
        assert sum(served) == result["peers"]


def test_with_peers_switched_off_all_comes_from_the_server() -> None:
    with cast_lab("nopeer", 2) as lab:
        _, (seed,), deaf = deaf_among(lab, ["honest"], "--no-peers")
        result = deaf.result(SECONDS)
        assert result["complete"]
        assert (result["peers"], result["unicast"]) == (0, BYTES)
        assert seed.result(30)["served"] == 0


def test_seeds_that_lie_or_stall_cost_nothing_but_time() -> None:
    with cast_lab("liar", 3) as lab:
        _, _, deaf = deaf_among(lab, ["liar", "staller"])
        result = deaf.result(SECONDS)
        assert result["complete"]
        assert result["banned"] == 2
        assert result["unicast"] == BYTES


def test_a_seed_that_is_killed_is_done_without() -> None:
    with cast_lab("killed", 2) as lab:
        _, (seed,), deaf = deaf_among(lab, ["honest"])
        seed.until(lambda e: e["event"] == "complete", SECONDS)
        deaf.until(lambda e: e.get("done", 0) > 0, SECONDS)
        seed.kill()
        result = deaf.result(SECONDS)
        assert result["complete"]
        assert result["unicast"] > 0
