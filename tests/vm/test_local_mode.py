"""A deploy medium at a machine without any network: a disk captured to it, restored, and booted."""

from __future__ import annotations

from pathlib import Path

import pytest
from castcore.edge import run
from castcore.units import GIB, MIB

from tests.support.localmedium import add_licence, balances, image_names, medium_with_ledger
from tests.vm import localdisk
from tests.vm.boottree import accel, tree
from tests.vm.directpc import DirectPC, direct_pc
from tests.vm.machine import blank_disk

pytestmark = [pytest.mark.vm, pytest.mark.root]

BOOT_SECONDS = 150.0
WORK_SECONDS = 120.0
WORDS = ("fleetcast.mode=local",)


def disk(name: str, path: Path) -> list[str]:
    """QEMU's arguments for a built-in disk with the serial number ``name``."""
    drive = f"if=none,id={name},format=raw,cache=writeback,file={path}"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive={name},serial={name}"]


def stick(path: Path) -> list[str]:
    """The same for the medium, on USB."""
    drive = f"if=none,id=medium,format=raw,cache=writeback,file={path}"
    usb = ["-device", "qemu-xhci", "-device", "usb-storage,drive=medium,serial=STICK1"]
    return ["-drive", drive, *usb]


def boots(path: Path, folder: Path) -> bool:
    """Whether the firmware starts what is on the disk ``path``."""
    command = ["qemu-system-x86_64", "-accel", accel(), "-m", "256", "-nodefaults", "-display", "none"]
    command += ["-serial", "stdio", "-drive", f"format=raw,file={path}"]
    said = run.run(["timeout", "30", *command], timeout=60, cwd=folder, ok=(0, 124))
    return localdisk.BOOTED.search(said.decode(errors="replace")) is not None


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    return medium_with_ledger(tmp_path / "medium.img", 2 * GIB)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    boot = tree()
    return localdisk.local_disk(tmp_path / "source.raw", boot / "shimx64.efi", boot / "grubx64.efi")


def capture(pc: DirectPC, name: str) -> None:
    pc.answer("home", "capture", BOOT_SECONDS)
    pc.answer("sources", "serial-SOURCE", WORK_SECONDS)
    pc.answer("name", name, WORK_SECONDS)
    pc.answer("capture", "yes", WORK_SECONDS)


def restore(pc: DirectPC, name: str, target: str) -> None:
    pc.answer("home", "restore", BOOT_SECONDS)
    pc.answer("images", name, WORK_SECONDS)
    pc.answer("targets", target, WORK_SECONDS)
    pc.answer("erase", "yes", WORK_SECONDS)


def test_a_disk_is_captured_restored_and_booted_without_any_network(
    tmp_path: Path, medium: Path, source: Path
) -> None:
    add_licence(medium, "*", 3)
    target = blank_disk(tmp_path / "target.raw", 96 * MIB)
    devices = [*disk("SOURCE", source), *disk("TARGET", target), *stick(medium)]
    with direct_pc(tmp_path, WORDS, devices) as pc:
        capture(pc, "lab")
        pc.said(r"local=done .*captured as lab(?:.*\n)*?.* > ", WORK_SECONDS)
        pc.press("menu")
        restore(pc, "lab", "serial-TARGET")
        pc.said(r"local=done .*lab: .* written, read back and proven", WORK_SECONDS)
        pc.answer("done", "off", WORK_SECONDS)
        assert pc.wait_off(WORK_SECONDS)
    assert image_names(medium) == ["lab.fcast"]
    assert [(one.consumed, one.reserved) for one in balances(medium, "STICK1")] == [(1, 0)]
    assert boots(target, tmp_path)
