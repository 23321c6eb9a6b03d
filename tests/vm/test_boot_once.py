"""Real firmware boots an operator's image once, then what it booted before."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from castcore.edge import run

from tests.vm import demo, onceimages
from tests.vm.demo import BUILD
from tests.vm.firmware import Firmware
from tests.vm.lab import Lab, lab
from tests.vm.labserver import FLEETCAST
from tests.vm.machine import PC
from tests.vm.network import inside

pytestmark = [pytest.mark.vm, pytest.mark.root]
FOLDER = BUILD / "test-boot-once"
BOOT_SECONDS = 240.0
STARTED = re.compile(onceimages.STARTED)
READ_ON = re.compile(onceimages.READ_ON)
# What our kernel or client says first on the console.
CLIENT = re.compile(r"Linux version|Fleetcast .*client", re.IGNORECASE)


@dataclass(frozen=True)
class Cell:
    """One firmware with one kind of image."""

    firmware: Firmware
    image: str
    reads_on: bool = True

    def __str__(self) -> str:
        return f"{self.firmware}-{self.image}"


CELLS = [
    Cell(Firmware.BIOS, "floppy.img"),
    Cell(Firmware.BIOS, "disk.img"),
    # Sectors of a CD are not read by the numbers that the boot sector gives.
    Cell(Firmware.BIOS, "both.iso", reads_on=False),
    Cell(Firmware.UEFI_SECURE, "both.iso"),
    Cell(Firmware.UEFI_SECURE, "uefi.img"),
    Cell(Firmware.UEFI, "both.iso"),
    Cell(Firmware.UEFI, "uefi.img"),
]
SHORT = (CELLS[0], CELLS[3])


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "images").mkdir(parents=True)
    tree = FOLDER / "pxe"
    demo.build_tree(tree, BUILD / "cache")
    with lab(FOLDER, images=FOLDER / "images", tree=tree, say=demo.say) as running:
        _take_in(FOLDER / "given")
        yield running


def _take_in(folder: Path) -> None:
    folder.mkdir()
    (loaders,) = (BUILD / "cache").glob("packages-*/root")
    onceimages.bios_disk(folder / "floppy.img", onceimages.FLOPPY_BYTES)
    onceimages.bios_disk(folder / "disk.img", onceimages.DISK_BYTES)
    onceimages.uefi_disk(folder / "uefi.img", loaders)
    onceimages.iso(folder / "both.iso", loaders, folder)
    for image in sorted(folder.glob("*.i*")):
        command = [*FLEETCAST, "bootimages", "add", str(image), "--state", str(FOLDER / "server")]
        run.run(command, timeout=60)


def fleetcast(running: Lab, *words: str) -> Any:
    """The result of a command given on the server."""
    command = [*FLEETCAST, *words, "--json", "--state", str(FOLDER / "server")]
    said = run.run([*inside(running.network.server), *command], timeout=60)
    return json.loads(said.splitlines()[-1])


def waiting(running: Lab, image: str) -> list[str]:
    listed = fleetcast(running, "bootimages", "list")["boot_images"]
    return next(list(one["machines"]) for one in listed if one["image"] == image)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(n, id=str(c), marks=() if c in SHORT else pytest.mark.full)
        for n, c in enumerate(CELLS)
    ],
)
def test_firmware_boots_an_image_once_and_then_our_client(running: Lab, number: int) -> None:
    cell = CELLS[number]
    first = PC(f"once{number}", 30 + number, cell.firmware)
    again = PC(f"then{number}", 30 + number, cell.firmware)
    fleetcast(running, "bootimages", "boot", cell.image, first.mac)
    assert waiting(running, cell.image) == [first.mac]
    _boots(running, first, STARTED, *[READ_ON] * cell.reads_on)
    assert waiting(running, cell.image) == []
    _boots(running, again, CLIENT)


def _boots(running: Lab, pc: PC, *wanted: re.Pattern[str]) -> None:
    machine = running.power_on(pc)
    try:
        for text in wanted:
            found = machine.serial.wait(text, BOOT_SECONDS)
            said = "\n".join(machine.serial.tail())
            assert found, f"{pc.name} did not say {text.pattern!r}:\n{said}"
        unwanted = STARTED if CLIENT in wanted else CLIENT
        assert machine.serial.search(unwanted) is None
    finally:
        machine.power_off()


@pytest.mark.full
def test_a_floppy_on_uefi_is_refused_and_its_order_dropped(running: Lab) -> None:
    pc = PC("floppy", 50, Firmware.UEFI)
    fleetcast(running, "bootimages", "boot", "floppy.img", pc.mac)
    machine = running.power_on(pc)
    try:
        end = time.monotonic() + BOOT_SECONDS
        while "UEFI firmware boots no floppies" not in running.server.log.read_text():
            assert time.monotonic() < end, machine.serial.tail()
            time.sleep(0.5)
    finally:
        machine.power_off()
    assert waiting(running, "floppy.img") == []
