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
from castcore.edge.image.signing import server_key
from castcore.errors import NetworkFailed
from castcore.units import MIB
from castmedia.clientmedia import Format, build
from castmedia.recipe import Profile
from castmedia.settingsoptions import Choices
from castmedia.stages import Options

from tests.block.diskimages import loop
from tests.support.images import noise
from tests.vm import demo
from tests.vm.demo import BUILD
from tests.vm.firmware import Firmware
from tests.vm.lab import Lab, lab
from tests.vm.labserver import FLEETCAST, HTTPS_PORT
from tests.vm.machine import PC, Running, blank_disk
from tests.vm.medium import Attach, Medium
from tests.vm.network import SERVER_ADDRESS, SUBNET

pytestmark = [pytest.mark.vm, pytest.mark.root]
FOLDER = BUILD / "test-client-media"
FORMATS = ("iso", "img")
BOOT_SECONDS = 240.0
CAST_SECONDS = 240.0
IMAGE_BYTES = 48 * MIB
STICK_BYTES = 160 * MIB
ADDRESS = f"{SUBNET}.66"
# What the Y key gives (Z on a German keyboard), by the kernel's own table; a file; the addresses.
HOOK = """#!/bin/sh
key=$(dumpkmap </dev/tty1 | dd bs=1 skip=305 count=1 2>/dev/null)
ip=$(ip -4 -o address show scope global)
echo "HOOK $FLEETCAST_MOMENT key=$key words=$(cat /etc/words) $ip" >/dev/ttyS0
"""
READY = re.compile(r"fleetcast: state=ready\b.* client=(\w+)")
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
    (FOLDER / "10-say").write_text(HOOK)
    build_media("pxe", tree, "--hook", f"start={FOLDER}/10-say")
    for form in FORMATS:
        client_media(FOLDER / f"client.{form}")
    source = FOLDER / "source.raw"
    source.write_bytes(noise(IMAGE_BYTES, 6))
    command = [*FLEETCAST, "capture", str(source), "sample", "--store", str(FOLDER / "images")]
    run.run(command, timeout=60)
    # A cast that has ended must not send the machine that boots from the network to its own disk.
    options = ["--deploy-end", "never"]
    images = FOLDER / "images"
    with lab(FOLDER, images=images, tree=tree, say=demo.say, server_options=options) as running:
        yield running


def client_media(output: Path, *options: str) -> None:
    build_media("client-media", output, "--serial", "ttyS0,115200", *options)


def build_media(kind: str, output: Path | None, *options: str) -> None:
    """``media-builder``, as an operator gives it."""
    command = [sys.executable, "-m", "castmedia", kind]
    command += ["--output", str(output)] if output else []
    command += ["--profile", "vm", "--cache", str(BUILD / "cache")]
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
        client = said(machine, READY, BOOT_SECONDS)[1]
        locked_down = machine.serial.search(LOCKED_DOWN) is not None
        assert locked_down is (cell.firmware is Firmware.UEFI_SECURE)
        if cell.casts:
            _cast(running, machine, client)
    finally:
        machine.power_off()


def _cast(running: Lab, machine: Running, client: str) -> None:
    """A cast to its disk ends well, with the stick pulled out before it begins."""
    medium = machine.pc.medium
    assert medium is not None
    if medium.attach is Attach.STICK:
        machine.pull_stick()
    order = {"image": "sample", "start_clients": 1, "after": "stay", "clients": [client]}
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


@pytest.mark.full
def test_a_medium_tells_its_client_what_it_was_built_with(running: Lab, tmp_path: Path) -> None:
    key = server_key(FOLDER / "server")
    assert key is not None
    (tmp_path / "words").write_text("a file of the operator")
    (tmp_path / "10-say").write_text(HOOK)
    (tmp_path / "medium.toml").write_text(
        f"""address = "{ADDRESS}/24"
        server = "https://{SERVER_ADDRESS}:{HTTPS_PORT}"
        trust = "{key.public.hex()}"
        keymap = "de"
        file = ["/etc/words=words"]
        hook = ["start=10-say", "ready=10-say"]
        """
    )
    client_media(FOLDER / "told.iso", "--recipe", str(tmp_path / "medium.toml"))
    medium = Medium(FOLDER / "told.iso", Attach.CD)
    machine = running.power_on(PC("told", 90, Firmware.UEFI_SECURE, network_boot=False, medium=medium))
    try:
        said(machine, re.compile(r"HOOK start key=z words=a file of the operator"), BOOT_SECONDS)
        said(machine, READY, BOOT_SECONDS)
        said(machine, re.compile(rf"HOOK ready key=z .* inet {ADDRESS}/24"), 60)
        assert machine.serial.search(re.compile(rf"server=https://{SERVER_ADDRESS}:{HTTPS_PORT}"))
    finally:
        machine.power_off()


@pytest.mark.full
def test_a_stick_that_was_written_starts_the_client(running: Lab) -> None:
    file = blank_disk(FOLDER / "stick.raw", STICK_BYTES)
    with loop(file) as device:
        build_media("client-media", None, "--write", device, "--yes", device, "--serial", "ttyS0")
    medium = Medium(file, Attach.STICK)
    machine = running.power_on(PC("stick", 89, Firmware.BIOS, network_boot=False, medium=medium))
    try:
        said(machine, READY, BOOT_SECONDS)
    finally:
        machine.power_off()


@pytest.mark.full
@pytest.mark.parametrize("firmware", [Firmware.BIOS, Firmware.UEFI_SECURE])
def test_a_pxe_tree_carries_settings_too(running: Lab, firmware: Firmware) -> None:
    machine = running.power_on(PC(f"pxe-{firmware}", 91 + firmware.is_uefi, firmware))
    try:
        said(machine, re.compile(r"HOOK start key=y"), BOOT_SECONDS)
        said(machine, READY, BOOT_SECONDS)
    finally:
        machine.power_off()


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
