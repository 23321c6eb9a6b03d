"""A machine keeps what is on its disk until data comes; from the first chunk on it does not boot."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from castcore.disk import Extent
from castcore.edge import run
from castcore.errors import ExitCode
from castcore.units import MIB

from tests.net.namespaces import Cable, inside
from tests.support.castlab import ENVIRONMENT
from tests.support.images import blank, gpt_disk, make_image, noise, write_at
from tests.support.twomachines import two_machines

pytestmark = pytest.mark.root

SIZE = 24 * MIB
SECONDS = 60
PARTS = (Extent(0, 3 * MIB), Extent(5 * MIB, 12 * MIB), Extent(20 * MIB, 2 * MIB))
# 239.193, the groups of casts, as /proc/net/igmp writes an address.
GROUPS = "C1EF"


@pytest.fixture
def wire() -> Iterator[Cable]:
    with two_machines("old", "192.0.2.1", "192.0.2.2") as made:
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    raw = blank(tmp_path / "source.raw", SIZE)
    for number, part in enumerate(PARTS):
        write_at(raw, part.start, noise(part.length // 2, number))
    (tmp_path / "images").mkdir()
    make_image(tmp_path / "images", "system", raw, PARTS)
    return raw


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    """A disk of the kernel's with a partition table and data: somebody's system."""
    raw = tmp_path / "old.raw"
    gpt_disk(raw, SIZE)
    write_at(raw, 2 * MIB, noise(20 * MIB, 77))
    device = run.run(["losetup", "--find", "--show", str(raw)], timeout=30).decode().strip()
    try:
        yield Path(device)
    finally:
        run.run(["losetup", "--detach", device], timeout=30)


def content(disk: Path) -> str:
    return hashlib.sha256(disk.read_bytes()).hexdigest()


def has_table(disk: Path) -> bool:
    """Whether a firmware or a kernel finds a partition table or a file system on it."""
    try:
        return bool(run.run(["blkid", "--probe", str(disk)], timeout=30))
    except run.ProgramFailed:
        return False


class Room:
    """A server on the left end; on the right one a machine with the disk ``old``."""

    def __init__(self, wire: Cable, folder: Path) -> None:
        self.wire, self.state = wire, ("--state", str(folder / "state"))
        self.log, self.images = folder / "server.log", folder / "images"

    @contextmanager
    def serving(self, *more: str) -> Iterator[Popen[bytes]]:
        words = ("serve", "--images", str(self.images), "--interface", self.wire.wire)
        with (
            self.log.open("ab") as log,
            run.started(
                [*self._left(), *words, *self.state, *more],
                merged=True,
                stdout=log,
                extra_env=ENVIRONMENT,
            ) as process,
        ):
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                with suppress(run.ProgramFailed):
                    self.operator("casts", "list")
                    break
            yield process

    @contextmanager
    def client(self, disk: Path) -> Iterator[Popen[bytes]]:
        words = ("run", "--json", "--target", str(disk), "--interface", self.wire.wire)
        line = ["ip", "netns", "exec", self.wire.right, sys.executable, "-m", "castclient", *words]
        with run.started(line, merged=True, extra_env=ENVIRONMENT) as process:
            yield process

    def operator(self, *words: str) -> Any:
        line = [*self._left(), *words, "--json", *self.state]
        told = run.run(line, timeout=SECONDS, extra_env=ENVIRONMENT).decode().splitlines()
        return json.loads(told[-1])

    def joined(self) -> str:
        """The id of the one cast, once the machine has joined it."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for cast in self.operator("casts", "list")["casts"]:
                if [part["state"] for part in cast["parts"]] == ["joined"]:
                    return str(cast["cast"])
        pytest.fail("the machine does not join")

    def _left(self) -> list[str]:
        return ["ip", "netns", "exec", self.wire.left, sys.executable, "-m", "castserver"]


def events(process: Popen[bytes]) -> list[dict[str, Any]]:
    process.wait(timeout=SECONDS)
    assert process.stdout is not None
    lines = process.stdout.read().decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def gathering(*more: str) -> tuple[str, ...]:
    return ("--image", "system", "--start-clients", "2", *more)


def started(*more: str) -> tuple[str, ...]:
    return ("--image", "system", "--start-clients", "1", *more)


@pytest.mark.parametrize("transport", ["auto", "unicast"])
def test_a_cast_that_is_cancelled_while_it_gathers_costs_nothing(
    wire: Cable, source: Path, old: Path, tmp_path: Path, transport: str
) -> None:
    before, room = content(old), Room(wire, tmp_path)
    with room.serving(), ExitStack() as stack:
        room.operator("casts", "create", *gathering("--transport", transport))
        process = stack.enter_context(room.client(old))
        cast, end = room.joined(), time.monotonic() + SECONDS
        # Who hears no multicast hears no beacon either, and says so.
        wanted = "waiting for its start" if transport == "auto" else "all by unicast, as this cast is"
        while room.operator("casts", "show", cast)["parts"][0]["report"]["message"] != wanted:
            assert time.monotonic() < end, "it does not say what it waits for"
        room.operator("casts", "cancel", cast)
        seen = events(process)
    assert process.returncode == ExitCode.NETWORK, seen
    assert "cancelled by the operator" in seen[-1]["error"]
    assert "the disk is as it was" in seen[-1]["hint"]
    assert content(old) == before
    assert has_table(old)


def test_a_server_that_dies_before_the_start_costs_nothing(
    wire: Cable, source: Path, old: Path, tmp_path: Path
) -> None:
    before, room = content(old), Room(wire, tmp_path)
    with room.serving(*gathering()) as server, room.client(old) as process:
        room.joined()
        server.send_signal(signal.SIGKILL)
        server.wait()
        time.sleep(6)  # longer than a client waits for a beacon
        assert process.poll() is None, "it waits for the server"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert content(old) == before


def test_from_the_first_chunk_on_it_does_not_boot_until_it_is_proven(
    wire: Cable, source: Path, old: Path, tmp_path: Path
) -> None:
    first, room = old.read_bytes()[:MIB], Room(wire, tmp_path)
    assert has_table(old)
    with room.serving(*started("--rate", "0.5")):
        with room.client(old) as process:
            end = time.monotonic() + SECONDS
            while old.read_bytes()[:MIB] == first:
                assert time.monotonic() < end, "nothing is written"
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not has_table(old)
        with room.client(old) as process:
            seen = events(process)
    assert process.returncode == 0, seen
    wanted, found = source.read_bytes(), old.read_bytes()
    for part in PARTS:
        assert found[part.start : part.end] == wanted[part.start : part.end]


def test_an_update_of_a_disk_that_has_it_all_ends_with_its_table(
    wire: Cable, source: Path, old: Path, tmp_path: Path
) -> None:
    room = Room(wire, tmp_path)
    old.write_bytes(source.read_bytes())
    with room.serving(), ExitStack() as stack:
        room.operator("casts", "create", *started("--update"))
        seen = events(process := stack.enter_context(room.client(old)))
    assert process.returncode == 0, seen
    assert seen[-1]["kept"] > 0.8 * seen[-1]["total"]
    assert content(old) == content(source)


def until_in_group() -> None:
    """Return when a program of this network listens to a group: who joined does it a little later."""
    end = time.monotonic() + SECONDS
    while GROUPS not in Path("/proc/thread-self/net/igmp").read_text():
        assert time.monotonic() < end, "nobody listens to a group"
        time.sleep(0.02)


def test_receive_costs_nothing_before_the_sender_begins(
    wire: Cable, source: Path, old: Path, tmp_path: Path
) -> None:
    before, here = content(old), ("--interface", wire.wire, "--json")
    image = str(tmp_path / "images/system.fcast")
    there = ["ip", "netns", "exec"]
    program = [sys.executable, "-m", "castserver"]
    send = [*there, wire.left, *program, "send", image, "--clients", "2", *here]
    take = [*there, wire.right, *program, "receive", str(old), "--yes", "--trust-first", *here]
    with (
        run.started(send, extra_env=ENVIRONMENT) as sender,
        run.started(take, merged=True, extra_env=ENVIRONMENT) as receiver,
    ):
        assert sender.stdout is not None
        for line in sender.stdout:
            if b'"clients": 1' in line or b'"joined": 1' in line:
                break
        inside(wire.right, until_in_group, timeout=SECONDS)
        sender.send_signal(signal.SIGINT)
        seen = events(receiver)
    assert receiver.returncode == ExitCode.NETWORK, seen
    assert "the disk is as it was" in seen[-1]["hint"]
    assert content(old) == before
