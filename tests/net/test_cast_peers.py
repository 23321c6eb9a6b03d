"""Finished clients serve those whom multicast does not reach, over a real switch of our own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.units import MIB

from tests.support.castlab import WIRE, CastLab, Peer, cast_lab
from tests.support.castpeer import MORTAL_CHUNKS, SeededSource
from tests.support.images import blank, make_image, noise

pytestmark = pytest.mark.root

CHUNKS = 60
BYTES = sum(SeededSource(CHUNKS).stored_lengths())
SECONDS = 120
STAY = ["--seed", "60"]


def deaf_among(lab: CastLab, kinds: list[str], *arguments: str) -> tuple[Peer, list[Peer], Peer]:
    """A cast to receivers that then serve as these ``kinds``, and to one more, which is deaf.

    It comes last, and all begin with it; the server gives it no chunk before the others have finished.
    """
    count, deaf = ["--chunks", str(CHUNKS)], len(kinds)
    lab.deafen(deaf)
    late = ["--serve-after", "60", "--unicast-after", str(deaf)]
    sender = lab.sender(*count, "--clients", str(deaf + 1), *late, *arguments)
    sender.until(lambda e: e["event"] == "ready", SECONDS)
    seeds = [lab.receiver(i, *count, *STAY, "--seed-as", kind) for i, kind in enumerate(kinds)]
    for seed in seeds:
        seed.until(lambda e: e["event"] == "progress", SECONDS)
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


def test_a_seed_that_dies_is_done_without() -> None:
    with cast_lab("dies", 2) as lab:
        _, _, deaf = deaf_among(lab, ["mortal"])
        result = deaf.result(SECONDS)
        assert result["complete"]
        assert result["banned"] == 1
        assert 0 < result["peers"] <= MORTAL_CHUNKS * BYTES / CHUNKS * 1.05
        assert result["unicast"] == BYTES - result["peers"]


def test_disks_are_filled_from_disks_byte_for_byte(tmp_path: Path) -> None:
    """The commands people use: `fleetcast receive` reads its finished disk back for another one."""
    size, used = 40 * MIB, (Extent(0, 17 * MIB + 4096), Extent(20 * MIB, 20 * MIB))
    raw = tmp_path / "source.raw"
    raw.write_bytes(noise(size, 3))
    image = make_image(tmp_path, "sample", raw, used)
    fleetcast, wire = (sys.executable, "-m", "castserver"), ("--interface", WIRE, "--json")
    with cast_lab("disks", 2) as lab:
        lab.deafen(1)
        sender = lab.start("s", *fleetcast, "send", str(image), *wire, "--clients", "2")
        targets = [blank(tmp_path / f"target{i}.raw", size) for i in range(2)]
        words = (*wire, "--yes", "--trust-first", "--verify")
        heard = lab.start("r0", *fleetcast, "receive", str(targets[0]), *words)
        sender.until(lambda e: e.get("clients") == 1, SECONDS)
        deaf = lab.start("r1", *fleetcast, "receive", str(targets[1]), *words)
        results = [deaf.result(SECONDS), heard.result(SECONDS)]
    source, whole = raw.read_bytes(), sum(results[0][way] for way in ("unicast", "peers"))
    assert results[0]["multicast"] == 0
    # How many depends on when the one seed has finished: until then, and beside it, the server gives.
    assert 0 < results[0]["peers"] <= whole
    assert results[1]["served"] >= results[0]["peers"]
    for target in targets:
        copy = target.read_bytes()
        assert all(copy[e.start : e.end] == source[e.start : e.end] for e in used)
        assert not any(copy[used[0].end : used[1].start]), "a hole was written"


def test_a_servers_machines_serve_each_other_before_they_leave(tmp_path: Path) -> None:
    """The server's cast and the real client: what came by which way is in the machine's report."""
    size = 24 * MIB
    raw = tmp_path / "source.raw"
    raw.write_bytes(noise(size, 4))
    (tmp_path / "images").mkdir()
    make_image(tmp_path / "images", "sample", raw, (Extent(0, size),))
    wire = ("--interface", WIRE, "--json")
    python = (sys.executable, "-m")
    with cast_lab("served", 2) as lab:
        lab.deafen(1)
        where = ("--state", str(tmp_path / "state"), "--images", str(tmp_path / "images"))
        cast = ("--image", "sample", "--start-clients", "2")
        server = lab.start("s", *python, "castserver", "serve", *where, *wire, *cast)
        server.until(lambda e: e["event"] == "cast", SECONDS)
        targets = [blank(tmp_path / f"target{i}.raw", size) for i in range(2)]
        heard, deaf = (
            lab.start(f"r{i}", *python, "castclient", "run", "--target", str(target), *wire)
            for i, target in enumerate(targets)
        )
        results = [client.result(SECONDS) for client in (heard, deaf)]
    assert results[0]["peers"] == results[1]["multicast"] == 0
    assert results[1]["peers"] > 0
    assert all(target.read_bytes() == raw.read_bytes() for target in targets)
