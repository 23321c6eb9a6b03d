"""GRUB for machines with a BIOS: core images from Debian's own GRUB, and how a disk needs them.

A BIOS starts the first sector (``boot.img``), which reads the first sector of the core image
(``diskboot.img``) by its number, which reads the rest by a list of sectors: GRUB's manual, section
"BIOS installation", and ``grub-core/boot/i386/pc``. A CD has the core as its El Torito image.
"""

from __future__ import annotations

import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

from castcore.edge import run
from castcore.errors import FleetcastError

FOLDER = "usr/lib/grub/i386-pc"
# All that the menu uses, built in: nothing is looked for on the medium but the menu itself.
MODULES = (
    "all_video",
    "biosdisk",
    "cat",
    "configfile",
    "echo",
    "fat",
    "halt",
    "iso9660",
    "linux",
    "ls",
    "minicmd",
    "normal",
    "part_gpt",
    "part_msdos",
    "probe",
    "reboot",
    "regexp",
    "search",
    "search_fs_file",
    "serial",
    "sleep",
    "terminal",
    "test",
    "true",
)
# The drive is the one the BIOS started from; on a disk the menu lies in its second partition.
DISK_PREFIX = "(,gpt2)/boot/grub"
CD_PREFIX = "/boot/grub"
SECTOR = 512
BOOT_CODE = 440
SECONDS = 60

_KERNEL_SECTOR = struct.Struct("<Q")
_KERNEL_SECTOR_AT = 0x5C
_DRIVE_CHECK_AT = 0x66
_NO_JUMP = b"\x90\x90"
_BLOCKS = struct.Struct("<QHH")  # first sector, count, segment
_BLOCKS_AT = SECTOR - _BLOCKS.size


@dataclass(frozen=True, slots=True)
class BiosGrub:
    """The images: first sector of a disk, of a hybrid ISO; core for a disk, for a CD (El Torito)."""

    boot: bytes
    boot_hybrid: Path
    core: bytes
    core_cd: Path

    def boot_code(self, core_at: int) -> bytes:
        """The first 440 bytes of a disk whose core image begins at sector ``core_at``."""
        code = bytearray(self.boot[:BOOT_CODE])
        _KERNEL_SECTOR.pack_into(code, _KERNEL_SECTOR_AT, core_at)
        # BIOSes that hand over the wrong drive number are corrected by GRUB, on hard disks only.
        code[_DRIVE_CHECK_AT : _DRIVE_CHECK_AT + 2] = _NO_JUMP
        return bytes(code)

    def core_at(self, sector: int) -> bytes:
        """The core image, in whole sectors of 512 bytes, for a place that begins at ``sector``."""
        core = bytearray(self.core.ljust(-(-len(self.core) // SECTOR) * SECTOR, b"\0"))
        _, count, segment = _BLOCKS.unpack_from(core, _BLOCKS_AT)
        if count != len(core) // SECTOR - 1:
            raise FleetcastError(f"GRUB's core image of {len(core)} bytes lists {count} sectors")
        _BLOCKS.pack_into(core, _BLOCKS_AT, sector + 1, count, segment)
        return bytes(core)


def make(folder: Path, debian: Path) -> None:
    """The stage: put the four images into ``folder``. Raises run.ProgramFailed."""
    for name in ("boot.img", "boot_hybrid.img"):
        shutil.copyfile(debian / FOLDER / name, folder / name)
    for name, kind, prefix in (
        ("core.img", "i386-pc", DISK_PREFIX),
        ("core-cd.img", "i386-pc-eltorito", CD_PREFIX),
    ):
        command = ["chroot", str(debian), "grub-mkimage", "-O", kind, "-d", f"/{FOLDER}"]
        command += ["-p", prefix, *MODULES]
        # A file, no pipe: it syncs what it has written.
        with (folder / name).open("wb") as file:
            run.run(command, timeout=SECONDS, stdout=file)


def load(folder: Path) -> BiosGrub:
    """The images of the finished stage ``folder``."""
    return BiosGrub(
        (folder / "boot.img").read_bytes(),
        folder / "boot_hybrid.img",
        (folder / "core.img").read_bytes(),
        folder / "core-cd.img",
    )
