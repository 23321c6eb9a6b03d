"""Client media on real firmware: ISO and stick image, from CD, stick and disk, up to "ready"; a stick
that is pulled out; settings, extra files and hooks that the boot environment really has."""

from __future__ import annotations

import filecmp
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from castcore.bootsettings import BootSettings
from castcore.edge import run
from castcore.errors import NetworkFailed
from castcore.units import MIB
from castmedia.clientmedia import Format, build
from castmedia.recipe import Profile
from castmedia.settingsoptions import Choices
from castmedia.stages import Options

from tests.support.images import noise
from tests.vm import demo
from tests.vm.demo import BUILD
from tests.vm.firmware import Firmware
from tests.vm.lab import Lab, lab
from tests.vm.labserver import FLEETCAST
from tests.vm.machine import PC, Running
from tests.vm.medium import Attach, Medium

pytestmark = [pytest.mark.vm, pytest.mark.root]
FOLDER = BUILD / "test-client-media"
FORMATS = ("iso", "img")
BOOT_SECONDS = 240.0
CAST_SECONDS = 240.0
IMAGE_BYTES = 48 * MIB
READY = re.compile(r"fleetcast: state=ready\b")
DONE = re.compile(r"fleetcast: state=done\b")
LOCKED_DOWN = re.compile(r"Kernel is locked down from EFI Secure Boot")


@dataclass(frozen=True)
class Cell:
    """One format on one firmware; ``casts``: its disk is written too, a stick being pulled before."""

    form: str
    attach: Attach
    firmware: Firmware
    casts: bool = False

    def __str__(self) -> str:
        return f"{self.form}-{self.attach}-{self.firmware}"


WAYS = [
    (form, attach)
    for form in FORMATS
    for attach in Attach
    if (form, attach) != ("img", Attach.CD)  # no CD: a CD starts by El Torito
]
# A disk that is a medium must never be what a cast is written to; a stick may be gone by then.
CASTING = {
    ("img", Attach.STICK, Firmware.UEFI_SECURE),
    ("iso", Attach.STICK, Firmware.BIOS),
    ("iso", Attach.DISK, Firmware.UEFI),
    ("img", Attach.DISK, Firmware.BIOS),
}
CELLS = [
    Cell(form, attach, firmware, casts=(form, attach, firmware) in CASTING)
    for form, attach in WAYS
    for firmware in Firmware
]
SHORT = "img-stick-uefi-sb"


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "images").mkdir(parents=True)
    tree = FOLDER / "pxe"
    demo.build_tree(tree, BUILD / "cache")
    for form in FORMATS:
        client_media(FOLDER / f"client.{form}")
    source = FOLDER / "source.raw"
    source.write_bytes(noise(IMAGE_BYTES, 6))
    command = [*FLEETCAST, "capture", str(source), "sample", "--store", str(FOLDER / "images")]
    run.run(command, timeout=60)
    with lab(FOLDER, images=FOLDER / "images", tree=tree, say=demo.say) as running:
        yield running


def client_media(output: Path, *options: str) -> None:
    """``media-builder client-media``, as an operator gives it."""
    command = [sys.executable, "-m", "castmedia", "client-media", "--output", str(output)]
    command += ["--profile", "vm", "--cache", str(BUILD / "cache"), "--serial", "ttyS0,115200"]
    run.run_lines([*command, *options], demo.say_detail)


def said(pc: Running, wanted: re.Pattern[str], seconds: float) -> re.Match[str]:
    found = pc.serial.wait(wanted, seconds)
    tail = "\n".join(pc.serial.tail())
    assert found, f"{pc.pc.name} did not say {wanted.pattern!r}:\n{tail}"
    return found


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(n, id=str(c), marks=() if str(c) == SHORT else pytest.mark.full)
        for n, c in enumerate(CELLS)
    ],
)
def test_a_client_medium_starts_the_client(running: Lab, number: int) -> None:
    cell = CELLS[number]
    medium = Medium(FOLDER / f"client.{cell.form}", cell.attach)
    pc = PC(f"cm{number}", 60 + number, cell.firmware, network_boot=False, medium=medium)
    machine = running.power_on(pc)
    try:
        said(machine, READY, BOOT_SECONDS)
        locked_down = machine.serial.search(LOCKED_DOWN) is not None
        assert locked_down is (cell.firmware is Firmware.UEFI_SECURE)
        if cell.casts:
            _cast(running, machine)
    finally:
        machine.power_off()


def _cast(running: Lab, machine: Running) -> None:
    """A cast to its disk ends well, with the stick pulled out before it begins."""
    medium = machine.pc.medium
    assert medium is not None
    if medium.attach is Attach.STICK:
        machine.pull_stick()
    order = {"image": "sample", "start_clients": 1, "after": "stay"}
    cast = running.server.post("/casts", order)["cast"]
    said(machine, DONE, CAST_SECONDS)
    end = time.monotonic() + 30
    while (parts := running.server.get(f"/casts/{cast}")["parts"])[0]["state"] != "done":
        assert time.monotonic() < end, parts
        time.sleep(0.5)
    # QEMU keeps what the machine wrote to its disk in its own cache until it is off.
    machine.power_off()
    with machine.disk.open("rb") as disk:
        assert disk.read(IMAGE_BYTES) == noise(IMAGE_BYTES, 6)


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_inputs_give_the_same_medium(running: Lab, form: str) -> None:
    client_media(FOLDER / f"again.{form}")
    assert filecmp.cmp(FOLDER / f"again.{form}", FOLDER / f"client.{form}", shallow=False)


def test_an_unreachable_package_source_leaves_nothing(tmp_path: Path) -> None:
    options = Options(tmp_path / "cache", Profile.VM, f"file://{tmp_path}/no-such-mirror")
    (tmp_path / "out").mkdir()
    with pytest.raises(NetworkFailed, match="packages cannot be fetched"):
        build(tmp_path / "out/m.iso", Format.ISO, options, Choices(BootSettings()))
    assert list((tmp_path / "out").iterdir()) == []
