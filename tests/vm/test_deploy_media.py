"""Deploy media on real firmware: they start to their menu, as made and as updated in place."""

from __future__ import annotations

import re
import shutil
import sys
from functools import cache
from pathlib import Path

import pytest
from castcore.edge import run
from castcore.edge.medium import medium_at
from castcore.units import MIB

from tests.vm import boottree, demo
from tests.vm.demo import BUILD
from tests.vm.firmware import Firmware
from tests.vm.machine import PC, blank_disk, powered
from tests.vm.medium import Attach, Medium

pytestmark = [pytest.mark.vm, pytest.mark.root]
FOLDER = BUILD / "test-deploy-media"
BOOT_SECONDS = 200.0
ENTRY = re.compile(r"Capture or restore this machine")
COMMAND_LINE = re.compile(r"Command line: .*fleetcast\.medium=(\S+) .*fleetcast\.mode=local")
LOCKED_DOWN = re.compile(r"Kernel is locked down from EFI Secure Boot")
STARTED = re.compile(r"fleetcast: (local|state)=")
# The short test starts what an update made, in the second place for a boot part.
SHORT = (2, Attach.STICK, Firmware.UEFI_SECURE)
CELLS = [
    (version, attach, firmware)
    for version in (1, 2)
    for attach in (Attach.STICK, Attach.DISK)
    for firmware in Firmware
]


@cache
def medium(version: int) -> Path:
    """The medium as made (1), and a copy of it as updated with other words for the kernel (2)."""
    image = FOLDER / f"deploy{version}.img"
    if version == 1:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        _build(image, "--size", "1500M")
    else:
        run.run(["cp", "--sparse=always", str(medium(1)), str(image)], timeout=100)
        _build(image)
        found, before = medium_at(image), medium_at(medium(1))
        assert found is not None
        assert before is not None
        assert (found.id, found.parts.data) == (before.id, before.parts.data)
        assert found.parts.boot.start > before.parts.boot.start
    return image


def _build(image: Path, *options: str) -> None:
    """``media-builder deploy-media``, as an operator gives it."""
    command = [sys.executable, "-m", "castmedia", "deploy-media", "--output", str(image)]
    command += ["--profile", "vm", "--cache", str(BUILD / "cache"), "--serial", "ttyS0,115200"]
    command += ["--extra-cmdline", f"fleetcast.test={image.stem}"]
    run.run_lines([*command, *options], demo.say_detail)


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(c, id=f"v{c[0]}-{c[1]}-{c[2]}", marks=() if c == SHORT else pytest.mark.full)
        for c in CELLS
    ],
)
def test_it_starts_to_its_menu_and_the_first_entry(
    cell: tuple[int, Attach, Firmware], tmp_path: Path
) -> None:
    version, attach, firmware = cell
    image = medium(version)
    disk = blank_disk(tmp_path / "disk.raw", 64 * MIB)
    pc = PC("dm", 80, firmware, network_boot=False, medium=Medium(image, attach))
    with powered(pc, tmp_path, disk, tap=None, accel=boottree.accel()) as machine:
        assert machine.serial.wait(ENTRY, BOOT_SECONDS), machine.serial.tail()
        told = machine.serial.wait(COMMAND_LINE, BOOT_SECONDS)
        assert told is not None, machine.serial.tail()
        assert f"fleetcast.test={image.stem}" in told[0]
        assert told[1].lower() == _volume(image).lower()
        assert machine.serial.wait(STARTED, BOOT_SECONDS), machine.serial.tail()
        locked_down = machine.serial.search(LOCKED_DOWN) is not None
    assert locked_down is (firmware is Firmware.UEFI_SECURE)


def _volume(image: Path) -> str:
    """The UUID of the file system that it starts from, by another hand."""
    found = medium_at(image)
    assert found is not None
    place = ["-O", str(found.parts.boot.start), "-S", str(found.parts.boot.length)]
    return (
        run.run(["blkid", "-p", "-o", "value", "-s", "UUID", *place, str(image)], timeout=30)
        .decode()
        .strip()
    )
