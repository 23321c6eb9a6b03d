"""The deploy medium's whole story: captured to it on A, cast from it to B and C, restored on D alone.

A and D have no network device at all. The server is given the medium and nothing else: its images, its
licences and its PXE tree are what it works with. Every machine restored or cast to uses up a licence.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from castcore.edge import run
from castcore.edge.medium import medium_at
from castcore.licence import ID_SIZE, issue_licence

from tests.support.localmedium import KEY, balances, image_names
from tests.vm import boottree, demo
from tests.vm.demo import BUILD
from tests.vm.directpc import DirectPC
from tests.vm.firmware import Firmware
from tests.vm.lab import Lab, lab
from tests.vm.machine import PC, blank_disk, powered
from tests.vm.medium import Attach, Medium
from tests.vm.sample import Sample, sample
from tests.vm.sampleroot import BOOTED
from tests.vm.watch import Watch

pytestmark = [pytest.mark.vm, pytest.mark.root, pytest.mark.full]
FOLDER = BUILD / "test-deploy-story"
LICENCES = 5
BOOT_SECONDS = 420.0
WORK_SECONDS = 600.0
A = PC("pcA", 91, Firmware.UEFI_SECURE, network_boot=False)
B = PC("pcB", 92, Firmware.UEFI_SECURE)
C = PC("pcC", 93, Firmware.BIOS)
D = PC("pcD", 94, Firmware.BIOS, network_boot=False)


@dataclass(frozen=True)
class Story:
    """The stick's file and number, and the system that A has."""

    medium: Path
    serial: str
    source: Sample

    def at(self, pc: PC) -> PC:
        """``pc`` with the stick plugged in."""
        return replace(pc, medium=Medium(self.medium, Attach.STICK, serial=self.serial, keeps=True))


@pytest.fixture(scope="module")
def story() -> Story:
    """A new medium with licences, and nothing else."""
    return new_story()


def new_story() -> Story:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    licence, medium = FOLDER / "school.lic", FOLDER / "deploy.img"
    licence.write_bytes(issue_licence(KEY, b"school".ljust(ID_SIZE, b"."), "*", LICENCES))
    command = [sys.executable, "-m", "castmedia", "deploy-media", "--output", str(medium)]
    command += ["--size", "3G", "--profile", "vm", "--cache", str(BUILD / "cache")]
    command += ["--serial", "ttyS0,115200", "--licence", str(licence), "--name", "Room 12"]
    run.run_lines(command, demo.say_detail)
    found = medium_at(medium)
    assert found is not None
    return Story(medium, found.serial, sample(BUILD / "cache", demo.say))


@contextmanager
def typed_on(pc: PC, disk: Path) -> Iterator[DirectPC]:
    """The local dialogue of ``pc``, which has no network device."""
    with powered(pc, FOLDER, disk, tap=None, accel=boottree.accel()) as machine:
        yield DirectPC(machine.process, machine.serial, machine.control)


def test_a_disk_is_captured_to_the_medium(story: Story) -> None:
    disk = FOLDER / "pcA.disk"
    run.run(["cp", "--sparse=always", str(story.source.disk), str(disk)], timeout=300)
    with typed_on(story.at(A), disk) as pc:
        pc.answer("home", "capture", BOOT_SECONDS)
        pc.answer("sources", f"serial-DISK{A.number:04}", WORK_SECONDS)
        pc.answer("name", "lab", WORK_SECONDS)
        pc.answer("capture", "yes", WORK_SECONDS)
        pc.said(r"local=done .*captured as lab", WORK_SECONDS)
        pc.answer("done", "off", WORK_SECONDS)
        assert pc.wait_off(BOOT_SECONDS)
    disk.unlink()
    assert image_names(story.medium) == ["lab.fcast"]


def test_it_is_cast_to_two_machines_from_the_medium(story: Story) -> None:
    assert image_names(story.medium) == ["lab.fcast"], "the capture before this failed"
    (FOLDER / "images").mkdir()
    options = ["--media", str(story.medium), "--licence-issuer", KEY.public.hex()]
    with lab(
        FOLDER,
        images=FOLDER / "images",
        tree=boottree.tree(),
        named_tree=False,
        say=demo.say,
        server_options=options,
    ) as running:
        _wait_for_medium(running)
        order = {"image": "lab", "start_clients": 2, "after": "reboot"}
        cast = running.server.post("/casts", order)
        watch = Watch(running, cast["cast"], cast["root"], demo.say)
        for pc in (B, C):
            watch.add(running.power_on(pc))
        watch.wait(lambda: all(pc.proven for pc in watch.pcs), WORK_SECONDS, "written and proven")
        watch.wait(lambda: all(pc.booted for pc in watch.pcs), BOOT_SECONDS, "booted what was cast")
        assert {_what(pc.booted) for pc in watch.pcs} == {(story.source.host, story.source.root_uuid)}
    assert [one.consumed for one in balances(story.medium)] == [2]


def test_it_is_restored_without_any_network(story: Story) -> None:
    assert image_names(story.medium) == ["lab.fcast"], "the capture before this failed"
    before = sum(one.consumed for one in balances(story.medium))
    disk = blank_disk(FOLDER / "pcD.disk", D.disk_size)
    with typed_on(story.at(D), disk) as pc:
        pc.answer("home", "restore", BOOT_SECONDS)
        pc.answer("images", "lab", WORK_SECONDS)
        pc.answer("targets", f"serial-DISK{D.number:04}", WORK_SECONDS)
        pc.answer("erase", "yes", WORK_SECONDS)
        pc.said(r"local=done .*lab: .* written, read back and proven", WORK_SECONDS)
        pc.answer("done", "off", WORK_SECONDS)
        assert pc.wait_off(BOOT_SECONDS)
    assert [(one.consumed, one.reserved) for one in balances(story.medium)] == [(before + 1, 0)]
    with powered(D, FOLDER, disk, tap=None, accel=boottree.accel()) as machine:
        booted = machine.serial.wait(BOOTED, BOOT_SECONDS)
        assert _what(booted) == (story.source.host, story.source.root_uuid), machine.serial.tail()


def _wait_for_medium(running: Lab) -> None:
    """Until the server uses the medium. Plugged in, that takes a second or two."""
    end = time.monotonic() + 30
    while (shown := running.server.get("/media"))["state"] != "medium connected":
        assert time.monotonic() < end, shown
        time.sleep(0.5)


def _what(booted: re.Match[str] | None) -> tuple[str, str] | None:
    return None if booted is None else (booted["host"], booted["root"])
