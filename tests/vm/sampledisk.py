"""The sample system's disk, a raw file: GPT, BIOS boot and EFI system partition, ext4 root, swap.

No partition is ever mounted: each file system is made at its offset in the file, filled by its own
tools, so nothing is left behind however this ends.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from castcore.edge import run
from castcore.units import GIB, MIB

from tests.vm.sampleroot import Uuids, efi_grub_stub

SECTOR = 512
DISK_SIZE = 3 * GIB
_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
_EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_LINUX_ROOT = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
_LINUX_SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
# All that the BIOS core image needs to reach /boot/grub/grub.cfg and start Linux.
_CORE_MODULES = (
    "biosdisk part_gpt ext2 normal configfile linux search search_fs_uuid serial terminal echo"
)


@dataclass(frozen=True)
class Part:
    """A partition of the sample: byte offset and size, GPT type, name."""

    offset: int
    size: int
    kind: str
    name: str


BIOS = Part(1 * MIB, 1 * MIB, _BIOS_BOOT, "bios-boot")
ESP = Part(2 * MIB, 64 * MIB, _EFI_SYSTEM, "efi-system")
ROOT = Part(66 * MIB, 2700 * MIB, _LINUX_ROOT, "root")
SWAP = Part(2766 * MIB, 256 * MIB, _LINUX_SWAP, "swap")
PARTS = (BIOS, ESP, ROOT, SWAP)


def make_disk(disk: Path, root: Path, uuids: Uuids) -> None:
    """Write the whole sample disk to the file ``disk`` from the unpacked system ``root``."""
    disk.unlink(missing_ok=True)
    disk.touch()
    os.truncate(disk, DISK_SIZE)
    _partition(disk)
    _fill_esp(disk, root, uuids)
    _install_bios_grub(disk, root)
    _fill_root(disk, root, uuids)
    _make_swap(disk, uuids)


def _partition(disk: Path) -> None:
    lines = ["label: gpt", "first-lba: 34"]
    lines += [
        f"start={p.offset // SECTOR}, size={p.size // SECTOR}, type={p.kind}, name={p.name}"
        for p in PARTS
    ]
    run.run(["sfdisk", "--quiet", str(disk)], data="\n".join(lines).encode(), timeout=60)


def _fill_root(disk: Path, root: Path, uuids: Uuids) -> None:
    # Two features that only some hosts' mke2fs switch on are left out: every host makes the same.
    features = "^orphan_file,^metadata_csum_seed"
    # Journal and inode tables are in use from end to end: as much as so small a system needs.
    sizes = ["-J", "size=16", "-N", "48000"]
    options = f"offset={ROOT.offset},root_owner=0:0"
    command = ["mkfs.ext4", "-q", "-F", "-L", "sample-root", "-U", uuids.root, "-O", features]
    command += [*sizes, "-E", options, "-d", str(root), str(disk), f"{ROOT.size // 1024}k"]
    run.run(command, timeout=600)


def _fill_esp(disk: Path, root: Path, uuids: Uuids) -> None:
    # mkfs.fat takes sectors for the offset and KiB for the size. One sector a cluster: with larger ones
    # 64 MiB have too few clusters to be FAT32.
    start = str(ESP.offset // SECTOR)
    command = ["mkfs.fat", "-F", "32", "-s", "1", "-i", uuids.esp.replace("-", ""), "-n", "ESP"]
    command += ["--offset", start, "-h", start]
    run.run([*command, str(disk), str(ESP.size // 1024)], timeout=60)
    esp = f"{disk}@@{ESP.offset}"
    run.run(["mmd", "-i", esp, "::EFI", "::EFI/BOOT", "::EFI/debian"], timeout=60)
    copies = {
        "EFI/BOOT/BOOTX64.EFI": root / "usr/lib/shim/shimx64.efi.signed",
        "EFI/BOOT/grubx64.efi": root / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
    }
    for name, source in copies.items():
        run.run(["mcopy", "-i", esp, str(source), f"::{name}"], timeout=60)
    stub = efi_grub_stub(uuids).encode()
    run.run(["mcopy", "-i", esp, "-", "::EFI/debian/grub.cfg"], data=stub, timeout=60)


def _install_bios_grub(disk: Path, root: Path) -> None:
    """GRUB for BIOS: its boot sector in the MBR, its core image in the BIOS boot partition.

    What grub-bios-setup does, without a device it could open (GRUB manual, "BIOS installation"):
    the boot sector holds the first sector of the core image at 0x5c, and the core image's own first
    sector ends with the block list of the rest (start, count, segment).
    """
    boot = bytearray((root / "usr/lib/grub/i386-pc/boot.img").read_bytes())
    number = PARTS.index(ROOT) + 1
    image = "/boot/grub/core.img"
    make = ["grub-mkimage", "-O", "i386-pc", "-o", image, "-p", f"(,gpt{number})/boot/grub"]
    run.run(["chroot", str(root), *make, *_CORE_MODULES.split()], timeout=120)
    core = bytearray((root / image.lstrip("/")).read_bytes())
    first = BIOS.offset // SECTOR
    if len(core) > BIOS.size:
        raise ValueError(f"GRUB's core image of {len(core)} bytes does not fit the BIOS boot partition")
    struct.pack_into("<Q", boot, 0x5C, first)
    struct.pack_into("<H", boot, 0x66, 0x9090)  # two NOPs: trust no BIOS about the boot drive's number
    struct.pack_into("<Q", core, SECTOR - 12, first + 1)
    with disk.open("r+b") as file:
        file.write(boot[:440])  # the rest of the sector is the protective MBR's table
        file.seek(BIOS.offset)
        file.write(core)


def _make_swap(disk: Path, uuids: Uuids) -> None:
    # mkswap writes the first page only; older ones cannot be told an offset.
    page = disk.with_name(disk.name + ".swap")
    try:
        with page.open("wb") as file:
            file.truncate(SWAP.size)
        page.chmod(0o600)
        run.run(["mkswap", "--quiet", "--uuid", uuids.swap, str(page)], timeout=60)
        with page.open("rb") as file:
            header = file.read(4096)
        with disk.open("r+b") as file:
            file.seek(SWAP.offset)
            file.write(header)
    finally:
        page.unlink(missing_ok=True)
