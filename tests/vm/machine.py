"""Virtual PCs: QEMU with the firmware, the network card and the blank disk of a real one."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from castcore.edge import run
from castcore.errors import NetworkFailed
from castcore.units import GIB

from tests.vm import firmware, qmp
from tests.vm.firmware import USUAL, Firmware, NetworkBoot
from tests.vm.medium import STICK, Medium
from tests.vm.serial import SerialLog

MEMORY_MIB = 1536
KVM_PROBE_SECONDS = 5.0
QUIT_SECONDS = 10.0
# Emulating one processor, QEMU 7.2 (Debian 12) now and then leaves rubbish in the flags after
# cmpxchg16b, and Linux 6.12 dies of a double fault in kmalloc; without cx16 it uses something else.
_CPU = {"kvm": "host", "tcg": "max,cx16=off"}


@dataclass(frozen=True)
class Card:
    """A network card: QEMU's model, and whether its option ROM (iPXE) is in it.

    UEFI has its own driver for virtio's; the ROM is the BIOS machine's only way to boot.
    """

    model: str = "virtio-net-pci"
    rom: bool = False

    def device(self, mac: str, first: str) -> str:
        """QEMU's -device argument on the network ``lan``."""
        return f"{self.model},netdev=lan,mac={mac}{'' if self.rom else ',romfile='}{first}"


@dataclass(frozen=True)
class PC:
    """One virtual PC as bought: ``number`` (1-250) gives it its own MAC, UUID and serial numbers."""

    name: str
    number: int
    firmware: Firmware
    disk_size: int = 4 * GIB
    network_boot: bool = True  # network first, then the disk; else the disk alone
    sata_disks: int = 0  # so many SATA disks (see `sata_files`) in place of one on virtio
    card: Card | None = None  # None: virtio's, with its ROM where the firmware needs it
    boot: NetworkBoot = USUAL
    medium: Medium | None = None  # boots before the disk; with `network_boot` False
    more: tuple[str, ...] = ()  # further arguments of QEMU: other hardware
    memory: int = MEMORY_MIB  # MiB

    @property
    def mac(self) -> str:
        """Its network card's address, locally administered."""
        return f"52:54:00:fc:00:{self.number:02x}"

    @property
    def uuid(self) -> str:
        """Its DMI system UUID."""
        return f"f1ee7ca5-7000-4000-8000-0000000000{self.number:02x}"


@dataclass
class Running:
    """A PC that was powered on: its process, its serial console, its disk file."""

    pc: PC
    process: subprocess.Popen[bytes]
    serial: SerialLog
    disk: Path
    control: Path
    powered_on: float = field(default_factory=time.monotonic)
    powered_on_at: float = field(default_factory=time.time)  # as packet captures count

    @property
    def is_on(self) -> bool:
        """Whether it runs (a PC that powered itself off does not)."""
        return self.process.poll() is None

    def wait_off(self, timeout: float) -> bool:
        """Wait until it powered itself off, at most ``timeout`` seconds."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        self.serial.join()
        return True

    def power_off(self) -> None:
        """Pull the plug."""
        if self.is_on:
            try:
                qmp.execute(self.control, "quit")
                self.process.wait(QUIT_SECONDS)
            except (NetworkFailed, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        self.serial.join()

    def pull_stick(self) -> None:
        """Pull its boot medium out of the USB port. Raises NetworkFailed."""
        qmp.execute(self.control, "device_del", id=STICK)

    def picture(self, path: Path) -> None:
        """Save what stands on its screen (PNG, or PPM by its name). Raises NetworkFailed."""
        kind = "png" if path.suffix == ".png" else "ppm"
        qmp.execute(self.control, "screendump", filename=str(path), format=kind)


def sata_files(disk: Path, count: int) -> list[Path]:
    """The files of a PC's ``count`` SATA disks, ``disk`` being the first."""
    return [disk, *(disk.with_name(f"{disk.name}-{number}") for number in range(1, count))]


def sata_arguments(files: Sequence[Path]) -> list[str]:
    """QEMU's arguments for a SATA controller with disks, each with a serial number of its own."""
    arguments = ["-device", "ahci,id=sata"]
    for number, file in enumerate(files):
        arguments += ["-drive", f"if=none,id=sata{number},format=raw,file={file}"]
        arguments += ["-device", f"ide-hd,bus=sata.{number},drive=sata{number},serial=SATA{number}"]
    return arguments


def blank_disk(path: Path, size: int) -> Path:
    """A new sparse disk file of ``size`` zero bytes."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


@contextmanager
def powered(
    pc: PC, folder: Path, disk: Path, *, tap: str | None, inside: Sequence[str] = (), accel: str = "tcg"
) -> Iterator[Running]:
    """Power on ``pc``; its logs and firmware store live in ``folder``. It is off when the block is left.

    ``tap`` is its port on the lab's bridge (None: no network card) and ``inside`` the command prefix
    that enters the bridge's namespace. Both paths are absolute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    control = folder / f"{pc.name}.qmp"
    control.unlink(missing_ok=True)
    with run.started(
        [*inside, *_command(pc, folder, disk, control.name, tap, accel)],
        cwd=folder,
        merged=True,
        stdin=subprocess.PIPE,  # what is typed on its serial console (tests.vm.directpc)
    ) as process:
        assert process.stdout is not None
        serial = SerialLog(process.stdout, folder / f"{pc.name}.serial.log")
        running = Running(pc, process, serial, disk, control)
        try:
            yield running
        finally:
            running.power_off()


def _command(pc: PC, folder: Path, disk: Path, control: str, tap: str | None, accel: str) -> list[str]:
    command = ["qemu-system-x86_64", "-name", pc.name, "-accel", accel]
    command += ["-cpu", _CPU[accel], "-smp", "1", "-m", str(pc.memory)]
    command += firmware.arguments(pc.firmware, folder / f"{pc.name}.vars.fd", pc.boot)
    command += ["-uuid", pc.uuid, "-smbios", _smbios(pc)]
    command += ["-nodefaults", "-vga", "std", "-display", "none", "-serial", "stdio"]
    command += ["-qmp", f"unix:{control},server=on,wait=off"]
    boots_before = pc.medium is not None or (tap is not None and pc.network_boot)
    command += pc.medium.arguments() if pc.medium else []
    command += _disks(pc, disk, 1 + boots_before)
    if tap is not None:
        card = pc.card or Card(rom=not pc.firmware.is_uefi and pc.medium is None)
        first = ",bootindex=1" if pc.network_boot else ""
        command += ["-netdev", f"tap,id=lan,ifname={tap},script=no,downscript=no,vhost=off"]
        command += ["-device", card.device(pc.mac, first)]
    # What the boot environment does in its first second must not depend on gathered entropy.
    return [*command, "-device", "virtio-rng-pci", *pc.more]


def _disks(pc: PC, disk: Path, boot_index: int) -> list[str]:
    if pc.sata_disks:
        return sata_arguments(sata_files(disk, pc.sata_disks))
    device = f"virtio-blk-pci,drive=disk,serial=DISK{pc.number:04},bootindex={boot_index}"
    drive = f"if=none,id=disk,format=raw,cache=writeback,discard=unmap,file={disk}"
    return ["-drive", drive, "-device", device]


def _smbios(pc: PC) -> str:
    return f"type=1,manufacturer=Fleetcast Lab,product=Virtual PC,serial=PC{pc.number:04}"


def accelerator(kernel: Path) -> str:
    """``"kvm"`` when a Linux ``kernel`` really runs under it here, else ``"tcg"`` (emulation).

    /dev/kvm may exist and open, and guests still hang in early boot (nested virtual machines), so a
    kernel without a root file system is run until it says so.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    command = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "512", "-nodefaults"]
    command += ["-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", str(kernel)]
    command += ["-append", "console=ttyS0 panic=-1"]
    try:
        said = run.run(command, timeout=KVM_PROBE_SECONDS)
    except run.ProgramFailed:
        return "tcg"
    return "kvm" if re.search(rb"Unable to mount root fs", said) else "tcg"
