"""The boot part of a medium: what firmware starts, from the same stages as the PXE tree.

Its files by their path in a FAT file system, and GRUB for a BIOS beside it. Equal inputs give equal
bytes, whenever and wherever they are built.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from blake3 import blake3
from castcore import newc
from castcore.edge import run
from castcore.errors import NoSpace
from castcore.units import MIB, round_up

from castmedia import grubconfig
from castmedia.biosgrub import BiosGrub
from castmedia.grubconfig import Entry
from castmedia.settingsoptions import Choices, archive
from castmedia.stages import Stages

FAT_PROGRAMS = ("mkfs.fat", "mcopy", "mmd")
LABEL = "FLEETCAST"
SHIM, GRUB, KEYS = "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "EFI/BOOT/mmx64.efi"
# The signed GRUB that looks for its menu where it was started from; shim's program to enrol keys.
GRUB_SOURCE = "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed"
KEYS_SOURCE = "usr/lib/shim/mmx64.efi.signed"
SECTOR = 512
SECONDS = 300
# FAT32 has at least so many clusters (Microsoft's specification of FAT: fewer is FAT16).
LEAST_CLUSTERS = 65525
CLUSTER_SECTORS = (8, 4, 2, 1)
RESERVED_SECTORS = 32

Content = bytes | Path
_CONFIG, _KERNEL, _INITRD, _SETTINGS = (
    path.lstrip("/")
    for path in (grubconfig.CONFIG, grubconfig.KERNEL, grubconfig.INITRD, grubconfig.SETTINGS)
)


@dataclass(frozen=True, slots=True)
class BootPart:
    """``files`` by path, without a slash in front; ``bios`` is GRUB for a BIOS."""

    files: Mapping[str, Content]
    bios: BiosGrub

    @property
    def digest(self) -> bytes:
        """BLAKE3 over paths and contents, and what a BIOS starts: what ids of a medium are made from."""
        hashed = blake3()
        for name, content in (*sorted(self.files.items()), ("", self.bios.core)):
            data = _bytes(content)
            hashed.update(f"{name}\0{len(data)}\0".encode() + data)
        return hashed.digest()

    @property
    def loaded_bytes(self) -> int:
        """Bytes that a machine reads into memory: kernel, boot image, settings."""
        return sum(content_size(self.files[name]) for name in (_KERNEL, _INITRD, _SETTINGS))

    @property
    def loaders(self) -> dict[str, Content]:
        """What UEFI firmware itself must find: loaders and menu, without kernel and boot image."""
        return {n: c for n, c in self.files.items() if n.startswith("EFI/") or n == _CONFIG}


def boot_part(
    stages: Stages, choices: Choices, entries: Sequence[Entry], *, words: str = ""
) -> BootPart:
    """The boot part with the menu ``entries``; ``words`` go to the kernel in all of them.

    Raises what the stages raise, BadSettings and NotFound for what ``choices`` name, Refused for
    words that a boot loader interprets.
    """
    settings = choices.settings
    config = grubconfig.grub_config(entries, serial=settings.serial, words=words)
    debian = stages.packages()
    keymap = stages.keymap(debian, settings.keymap)
    carried = archive(settings, choices.files, choices.hooks, keymap=keymap)
    from_packages = {role: path for role, (_, path) in stages.boot_files(debian).items()}
    files: dict[str, Content] = {
        SHIM: from_packages["shim"],
        GRUB: debian / GRUB_SOURCE,
        KEYS: debian / KEYS_SOURCE,
        _CONFIG: config.encode(),
        _KERNEL: from_packages["kernel"],
        _INITRD: stages.image(debian),
        _SETTINGS: carried,
    }
    return BootPart(files, stages.bios_grub(debian))


def fat_size(files: Mapping[str, Content], *, spare: int = MIB) -> int:
    """Bytes of a FAT32 file system that holds ``files`` and ``spare`` bytes more, whole MiB.

    FAT32 has a least size of about 33 MiB.
    """
    content = sum(
        round_up(content_size(c), CLUSTER_SECTORS[0] * SECTOR) + SECTOR for c in files.values()
    )
    # Two tables of four bytes for each cluster of at least 512 bytes.
    tables = content * 8 // SECTOR
    least = (LEAST_CLUSTERS + RESERVED_SECTORS) * SECTOR + LEAST_CLUSTERS * 8
    return round_up(max(content + tables + spare, least + 64 * SECTOR), MIB)


def write_fat(
    image: Path,
    files: Mapping[str, Content],
    *,
    label: str,
    size: int,
    volume_id: str,
    offset: int = 0,
    bits: int = 32,
) -> None:
    """Make a FAT file system of ``size`` bytes with ``files`` at byte ``offset`` of the file ``image``.

    The file is made, or lengthened, when it is not there or too short. ``volume_id`` is eight hex
    digits; ``bits`` is FAT's width, 32 or 16. Equal inputs give equal bytes. Raises NoSpace when the
    files have no room in it, OSError, run.ProgramFailed.
    """
    with image.open("ab") as file:
        if file.tell() < offset + size:
            file.truncate(offset + size)
    first = offset // SECTOR
    command = ["mkfs.fat", "--invariant", "-F", str(bits), "-i", volume_id, "-n", label]
    command += ["-S", str(SECTOR), "--offset", str(first), "-h", str(first)]
    # Clusters as small as can be, where there are enough for the width anyway.
    command += ["-s", str(_cluster_sectors(size) if bits == 32 else 1)]
    command += ["-R", str(RESERVED_SECTORS)] if bits == 32 else []
    run.run([*command, str(image), str(size // 1024)], timeout=SECONDS)
    try:
        _fill(f"{image}@@{offset}", files)
    except run.ProgramFailed as error:
        if "No space left" in error.stderr:
            raise NoSpace(f"the file system of {image.parent} is full") from error
        if "full" in error.stderr.lower():
            raise NoSpace(f"the boot files have no room in {size} bytes of FAT") from error
        raise


def _fill(drive: str, files: Mapping[str, Content]) -> None:
    """Copy ``files`` into the file system, each by itself: their order is ours, not a directory's."""
    # mtools gives folders the time that the variable says; copies keep their own (-m).
    when = {"SOURCE_DATE_EPOCH": str(newc.FIXED_TIME), "TZ": "UTC"}
    parents = {str(p) for name in files for p in PurePosixPath(name).parents if p.name}
    for name in sorted(parents):
        run.run(["mmd", "-i", drive, f"::/{name}"], timeout=SECONDS, extra_env=when)
    with tempfile.TemporaryDirectory(prefix="fleetcast-fat-") as scratch:
        source = Path(scratch, "file")
        for name, content in sorted(files.items()):
            _put(source, content)
            command = ["mcopy", "-i", drive, "-m", str(source), f"::/{name}"]
            run.run(command, timeout=SECONDS, extra_env=when)


def _cluster_sectors(size: int) -> int:
    """Sectors a cluster: as many as leave a file system of ``size`` bytes FAT32."""
    usable = size // SECTOR - RESERVED_SECTORS
    for sectors in CLUSTER_SECTORS:
        # Each cluster costs its sectors and its eight bytes in two tables.
        if usable * SECTOR // (sectors * SECTOR + 8) > LEAST_CLUSTERS + 16:
            return sectors
    return CLUSTER_SECTORS[-1]


def _put(path: Path, content: Content) -> None:
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content)
    os.utime(path, (newc.FIXED_TIME, newc.FIXED_TIME))


def content_size(content: Content) -> int:
    """Bytes of a file."""
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _bytes(content: Content) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content
