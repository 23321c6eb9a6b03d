"""The client's screen and keys on real consoles: driven by key presses, read from the screen itself."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from castcore.edge import run
from castcore.units import GIB, MIB

from tests.vm import demo
from tests.vm.demo import BUILD
from tests.vm.firmware import Firmware
from tests.vm.lab import Lab, lab
from tests.vm.labserver import FLEETCAST
from tests.vm.machine import PC, blank_disk
from tests.vm.network import inside
from tests.vm.person import HARDWARE, Person

pytestmark = [pytest.mark.vm, pytest.mark.root]
FOLDER = BUILD / "test-client-screen"
READY_SECONDS = 240.0
CAST_SECONDS = 240.0
IMAGE_BYTES = 160 * MIB
RATE = "4"  # MB/s: a cast that can be looked at
BLACK, BLUE, GREEN, RED, AMBER = 0, 1, 2, 4, 6
READY = re.compile(r"fleetcast: state=ready")
PROVEN = "The disk was written, read back and proven"
WAITS = "Waiting for orders from the server"
SERVER = "https://192.168.77.2:8443"
KEYS = "Ctrl+Alt+  S shut down   C shell   E files   L logs to a stick"


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    images = FOLDER / "images"
    images.mkdir(parents=True)
    demo.build_tree(FOLDER / "pxe", BUILD / "cache")
    _capture(images, "lesson-room", IMAGE_BYTES)
    _capture(images, "too-large", 3 * GIB, sparse=True)
    options = ["--rate", RATE]
    with lab(FOLDER, images=images, tree=FOLDER / "pxe", say=demo.say, server_options=options) as made:
        yield made


def _capture(images: Path, name: str, size: int, *, sparse: bool = False) -> None:
    source = FOLDER / f"{name}.raw"
    with source.open("wb") as file:
        if not sparse:
            file.write(os.urandom(size))
        file.truncate(size)
    command = [*FLEETCAST, "capture", str(source), name, "--store", str(images), "--full-sectors"]
    run.run(command, timeout=120)
    source.unlink()


def _ready(lab: Lab, pc: PC, disk: Path | None = None) -> Person:
    person = Person(lab.power_on(pc, disk=disk))
    ready = person.running.serial.wait(READY, READY_SECONDS)
    assert ready, person.running.serial.tail()
    person.sees(WAITS)
    return person


def _pc(name: str, number: int, disk_size: int = 2 * GIB) -> PC:
    return PC(name, number, Firmware.BIOS, disk_size=disk_size, more=HARDWARE)


def _machine(lab: Lab, person: Person) -> dict[str, Any]:
    mac = person.running.pc.mac
    found: dict[str, Any] = next(
        c for c in lab.server.get("/clients") if any(n["mac"] == mac for n in c["nics"])
    )
    return found


def _cast(lab: Lab, person: Person, image: str) -> str:
    """A cast of ``image`` to this one machine, which then stays."""
    body = {"image": image, "start_clients": 1, "after": "stay"}
    wanted = [_machine(lab, person)["client"]]
    cast: str = lab.server.post("/casts", body | {"clients": wanted})["cast"]
    return cast


def test_a_waiting_machine_is_blue_and_its_keys_open_a_shell_and_switch_it_off(running: Lab) -> None:
    person = _ready(running, _pc("keys", 1))
    for fact in ("Lab Virtual PC, serial PC0001", "52:54:00:fc:00:01", "serial DISK0001", SERVER, KEYS):
        person.sees(fact)
    assert person.colour_behind(WAITS) == BLUE
    person.press("ctrl-alt-c")
    person.sees("A root shell on this machine")
    person.type("cat /proc/cmdline\n")
    person.sees("console=tty0 console=ttyS0")
    person.type("exit\n")
    person.sees(WAITS)
    person.press("ctrl-alt-s")
    assert person.running.wait_off(60.0), person.running.serial.tail()


@pytest.mark.full
def test_a_cast_is_seen_ended_by_no_key_and_its_log_kept(running: Lab) -> None:
    """One machine's day: a cast that goes well, and one that cannot be."""
    person = _ready(running, _pc("cast", 2))
    cast = _cast(running, person, "lesson-room")
    person.sees("Receiving: lesson-room", CAST_SECONDS)
    assert person.colour_behind("Receiving") == AMBER
    _no_key_ends_it(person)
    _explore(person)
    person.waits(lambda _shown: _percent(running, person) >= 40, CAST_SECONDS, "40 percent")
    person.running.picture(FOLDER / "client-casting.png")
    _logs_to_a_stick(person)
    person.sees(PROVEN, CAST_SECONDS)
    assert person.colour_behind(PROVEN) == GREEN
    person.running.picture(FOLDER / "client-done.png")
    assert running.server.get(f"/casts/{cast}")["state"] == "done"
    _cannot_be(running, person)


@pytest.mark.full
def test_a_disk_that_missed_a_beat_is_tried_again_by_itself(running: Lab) -> None:
    person = _ready(running, _pc("beat", 3), _disk_that_misses_a_beat())
    cast = _cast(running, person, "lesson-room")
    person.sees("Tries again by itself in", CAST_SECONDS)
    person.running.picture(FOLDER / "client-again.png")
    assert person.colour_behind("Tries again") == RED
    (part,) = running.server.get(f"/casts/{cast}")["parts"]
    assert part["state"] in ("ordered", "joined")
    assert "tries again by itself" in part["report"]["message"]
    person.sees("The try before failed", CAST_SECONDS)
    person.sees(PROVEN, CAST_SECONDS)
    assert running.server.get(f"/casts/{cast}")["state"] == "done"


def _disk_that_misses_a_beat() -> Path:
    """A disk whose first write fails, and no other."""
    disk = blank_disk(FOLDER / "beat.disk", 2 * GIB)
    rules = FOLDER / "beat.conf"
    rules.write_text('[inject-error]\nevent = "write_aio"\nerrno = "5"\nonce = "on"\n')
    return Path(f"blkdebug:{rules}:{disk}")


def _no_key_ends_it(person: Person) -> None:
    for chord in ("ctrl-c", "ctrl-s", "ctrl-z", "ctrl-alt-delete", "alt-sysrq-b", "scroll_lock"):
        person.press(chord)
        time.sleep(0.5)
    person.press("scroll_lock")
    person.press("ret")  # answers nothing: nothing was asked
    person.press("ctrl-alt-s")
    person.sees("Enter: shut down, it stays incomplete")
    person.press("esc")
    person.sees_no_more("Enter: shut down")
    person.sees(KEYS)


def _cannot_be(lab: Lab, person: Person) -> None:
    """The next cast's image does not go on the disk: no trying again, but the log is at the server."""
    _cast(lab, person, "too-large")
    person.sees("too small", CAST_SECONDS)
    assert person.colour_behind("too small") == RED
    person.sees("It stays like this until the server gives another order.")
    machine = _machine(lab, person)["client"]
    log = f"/clients/{machine}/log"
    person.waits(lambda _shown: lab.server.get(log)["reason"] == "failed", 60, "its log at the server")
    person.running.picture(FOLDER / "client-failed.png")
    logs = lab.server.get(log)
    assert "Linux version" in logs["kernel"]
    assert "too small" in logs["journal"]
    _collected(lab, machine)


def _collected(lab: Lab, machine: str) -> None:
    """What support gets of it, by the command."""
    state, output = FOLDER / "server", FOLDER / "support.tar.gz"
    command = [*FLEETCAST, "logs", "collect", machine, "--state", str(state), "--output", str(output)]
    run.run([*inside(lab.network.server), *command], timeout=60)
    with tarfile.open(output) as archive:
        names = archive.getnames()
        whole = b"".join(f.read() for m in archive if (f := archive.extractfile(m)) is not None)
    for name in ("state.json", "inventory.json", "server/server.log", "contents.json"):
        assert f"fleetcast-logs/{name}" in names
    logs = [name for name in names if name.startswith(f"fleetcast-logs/machines/{machine}/")]
    assert {name.rpartition("-")[2] for name in logs} >= {"failed/kernel.log", "done/journal.log"}
    assert (state / "operator.token").read_bytes().strip() not in whole


def _percent(lab: Lab, person: Person) -> int:
    report = _machine(lab, person)["report"]
    return 100 * int(report["done"]) // max(int(report["total"]), 1)


def _explore(person: Person) -> None:
    person.press("ctrl-alt-e")
    shown = person.sees("Command")
    assert "10Quit" in shown
    person.press("f10")
    person.sees("Receiving: lesson-room")


def _logs_to_a_stick(person: Person) -> None:
    """On a keyboard that was plugged in now, too."""
    person.plug_in_keyboard()
    time.sleep(5)
    stick = blank_disk(FOLDER / "stick.img", 64 * MIB)
    run.run(["mkfs.fat", "-n", "MYSTICK", str(stick)], timeout=20)
    person.press("ctrl-alt-l")
    person.sees("Plug in a stick for the logs now")
    person.plug_in_stick(stick, "stick")
    person.sees("it can be pulled out", 90.0)
    person.pull_out("stick")
    name = "fleetcast-logs-PC0002-1.tar.gz"
    run.run(["mcopy", "-i", str(stick), f"::{name}", str(FOLDER / name)], timeout=20)
    with tarfile.open(FOLDER / name) as archive:
        kernel = archive.extractfile("fleetcast-logs/kernel.log")
        journal = archive.extractfile("fleetcast-logs/journal.log")
        assert kernel is not None
        assert journal is not None
        assert b"Linux version" in kernel.read()
        assert b"order: cast" in journal.read()
