"""Two casts of one server on one network: they share its rate, and a pause of one outlives a kill."""

from __future__ import annotations

import hashlib
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from castcore.cast.constants import HEADER_SIZE, SYMBOL_SIZE
from castcore.disk import Extent
from castcore.edge import run
from castcore.units import MIB

from tests.support.castlab import WIRE, CastLab, Peer, cast_lab
from tests.support.images import blank, make_image, noise, write_at

pytestmark = [pytest.mark.root, pytest.mark.full]

SIZE = 96 * MIB
MEGABYTES, CAP = 3, 3_000_000
SECONDS = 300
# Of a frame that carries a symbol, the bytes that the rate counts; IP, UDP and Ethernet are the rest.
PAYLOAD = HEADER_SIZE + SYMBOL_SIZE
FRAME = PAYLOAD + 20 + 8 + 14
CLIENT = (sys.executable, "-m", "castclient", "run", "--json", "--interface", WIRE)
FLEETCAST = (sys.executable, "-m", "castserver")
# Longer than a client waits for a beacon before it thinks that its server is gone.
PAUSED_SECONDS = 6.0


class Room:
    """A server with an image, and what its operator does."""

    def __init__(self, lab: CastLab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.server = self.serve()

    def serve(self) -> Peer:
        where = ("--state", str(self.folder / "state"), "--images", str(self.folder / "images"))
        words = ("serve", "--json", "--interface", WIRE, *where, "--rate", str(MEGABYTES))
        server = self.lab.start("s", *FLEETCAST, *words)
        server.until(lambda event: event.get("event") == "serving", SECONDS)
        return server

    def operator(self, *words: str) -> Any:
        state = ("--json", "--state", str(self.folder / "state"))
        return self.lab.start("s", *FLEETCAST, *words, *state).result(SECONDS)

    def cast(self, machine: str) -> str:
        """The id of a cast to ``machine`` alone, which has joined."""
        wish = ("--image", "system", "--client", machine, "--after", "stay")
        cast = str(self.operator("casts", "create", *wish)["cast"])
        end = time.monotonic() + SECONDS
        while self.show(cast)["parts"][0]["state"] != "joined":
            assert time.monotonic() < end, f"{machine} does not join"
        return cast

    def show(self, cast: str) -> Any:
        return self.operator("casts", "show", cast)

    def machines(self, count: int) -> list[str]:
        """The ids of all, once so many are ready."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            known = self.operator("machines", "list")["machines"]
            if [m["state"] for m in known] == ["ready"] * count:
                return [m["client"] for m in known]
        raise AssertionError("they did not come")

    def until(self, cast: str, *states: str) -> Any:
        """How the cast stands, once it is in one of ``states`` and has sent something."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            shown = self.show(cast)
            if shown["state"] in states and shown["sender"] and shown["sender"]["sent"]:
                return shown
        raise AssertionError(f"{cast} is {shown['state']}: {shown['message']}")

    def payload(self) -> float:
        """Bytes of UDP payload that the server has sent, if all of it were the cast's datagrams."""
        path = f"/sys/class/net/{WIRE}/statistics/tx_bytes"
        said = run.run(["ip", "netns", "exec", self.lab.space("s"), "cat", path], timeout=SECONDS)
        return int(said) * PAYLOAD / FRAME


def test_two_casts_share_the_rate_and_a_paused_one_goes_on_after_a_kill(tmp_path: Path) -> None:
    raw = blank(tmp_path / "source.raw", SIZE)
    parts = (Extent(0, 3 * MIB), Extent(5 * MIB, SIZE - 5 * MIB))
    for number, part in enumerate(parts):
        write_at(raw, part.start, noise(part.length, number))
    (tmp_path / "images").mkdir()
    make_image(tmp_path / "images", "system", raw, parts)
    targets = [blank(tmp_path / f"target{n}.raw", SIZE) for n in range(2)]
    with cast_lab("sharing", 2) as lab:
        room = Room(lab, tmp_path)
        clients = [lab.start(f"r{n}", *CLIENT, "--target", str(t)) for n, t in enumerate(targets)]
        first, second = (room.cast(machine) for machine in room.machines(2))
        for cast in (first, second):
            room.operator("casts", "start", cast)
        both_share(room, first, second)
        pause_outlives_a_kill(room, first)
        for client in clients:
            client.until(lambda event: event.get("state") == "done", SECONDS)
        assert room.show(first)["state"] == room.show(second)["state"] == "done"
        for client in clients:
            client.kill()
        room.server.process.terminate()
        room.server.process.wait(SECONDS)
    wanted = hashlib.sha256(raw.read_bytes()).digest()
    assert all(hashlib.sha256(target.read_bytes()).digest() == wanted for target in targets)


def both_share(room: Room, *casts: str) -> None:
    """While both run, together they keep to the server's rate, and both make way."""
    before = [room.until(cast, "running")["sender"]["sent"] for cast in casts]
    begun, sent = time.monotonic(), room.payload()
    time.sleep(3)
    rate = (room.payload() - sent) / (time.monotonic() - begun)
    after = [room.show(cast) for cast in casts]
    assert [shown["state"] for shown in after] == ["running"] * 2, "they were not compared"
    assert rate <= 1.05 * CAP
    assert all(now["sender"]["sent"] > then for now, then in zip(after, before, strict=True))
    assert sum(shown["sender"]["rate"] for shown in after) <= 1.05 * CAP


def pause_outlives_a_kill(room: Room, cast: str) -> None:
    """A paused cast sends nothing, its machine waits, also when the server is killed meanwhile."""
    room.operator("casts", "pause", cast)
    time.sleep(1)
    held = room.show(cast)["sender"]["sent"]
    time.sleep(PAUSED_SECONDS)
    shown = room.show(cast)
    assert (shown["state"], shown["sender"]["sent"], shown["sender"]["rate"]) == ("paused", held, 0)
    assert shown["parts"][0]["report"]["message"] == "paused at the server"
    room.server.process.send_signal(signal.SIGKILL)
    room.server.process.wait(SECONDS)
    room.server = room.serve()
    end = time.monotonic() + SECONDS
    while (joined := room.show(cast))["parts"][0]["state"] != "joined":
        assert time.monotonic() < end, "its machine did not come back"
    assert (joined["state"], joined["sender"]["sent"]) == ("paused", 0)
    assert room.operator("casts", "resume", cast)["state"] == "running"
