"""A hybrid ISO of a boot part: boots as a CD and, copied to a stick as it is, as a disk.

Kernel and boot image are in the ISO 9660 file system; a small FAT partition behind it, which the El
Torito catalogue names too, has what UEFI firmware itself must read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from castcore import newc
from castcore.edge import run
from castcore.errors import NoSpace
from castcore.medium import EFI_SYSTEM
from castcore.units import MIB, round_up

from castmedia.bootpart import LABEL, SECTOR, BootPart, Content, content_size, write_fat

PROGRAMS = ("xorriso",)
BIOS_IMAGE = "boot/grub/bios.img"
SECONDS = 600
# xorriso's padding at the end, tables and directories.
OVERHEAD = 2 * MIB
# What xorriso says of a full disk: before it writes, and while.
FULL = ("exceeds free space", "No space left")
_DAY_HUNDREDTHS = 24 * 3600 * 100


def iso_size(part: BootPart) -> int:
    """Bytes that the ISO of ``part`` has at most."""
    files = sum(round_up(content_size(c), 2048) for c in part.files.values())
    return files + _efi_size(part) + OVERHEAD


def write_iso(image: Path, part: BootPart, scratch: Path, on_line: Callable[[str], None]) -> None:
    """Make the file ``image``; ``scratch`` is a folder for what goes into it.

    Raises NoSpace, run.ProgramFailed.
    """
    efi = scratch / "efi.img"
    digest = part.digest
    write_fat(efi, part.loaders, label=LABEL, size=_efi_size(part), volume_id=digest[:4].hex(), bits=16)
    grafts = [f"/{BIOS_IMAGE}={part.bios.core_cd}"]
    for number, (name, content) in enumerate(sorted(part.files.items())):
        if name not in part.loaders or name.startswith("boot/"):
            grafts.append(f"/{name}={_placed(scratch / str(number), content)}")
    when = {"SOURCE_DATE_EPOCH": str(newc.FIXED_TIME), "TZ": "UTC"}
    try:
        run.run_lines(_command(image, efi, part, grafts), on_line, extra_env=when)
    except run.ProgramFailed as error:
        if any(said in error.stderr for said in FULL):
            raise NoSpace(f"the file system of {image.parent} is full") from error
        raise


def volume_date(digest: bytes) -> str:
    """The volume's date, YYYYMMDDhhmmsscc, which is its UUID too: a time of one day, by content."""
    hundredths = int.from_bytes(digest[:8], "big") % _DAY_HUNDREDTHS
    seconds, hundredth = divmod(hundredths, 100)
    hour, rest = divmod(seconds, 3600)
    return f"20200101{hour:02}{rest // 60:02}{rest % 60:02}{hundredth:02}"


def _command(image: Path, efi: Path, part: BootPart, grafts: list[str]) -> list[str]:
    """xorriso's words, in mkisofs' language (xorrisofs(1))."""
    date = volume_date(part.digest)
    command = ["xorriso", "-as", "mkisofs", "-graft-points", "-r", "-J", "-V", LABEL, "-o", str(image)]
    command += [f"--modification-date={date}", "--set_all_file_dates", date]
    command += ["--gpt_disk_guid", part.digest[:16].hex()]
    # As a disk: GRUB's first sector, and a table in which the FAT image is the EFI partition.
    command += ["--grub2-mbr", str(part.bios.boot_hybrid), "--mbr-force-bootable"]
    command += ["-partition_offset", "16", "-append_partition", "2", EFI_SYSTEM, str(efi)]
    command += ["-appended_part_as_gpt"]
    # As a CD: El Torito's entry for a BIOS, then that for UEFI.
    command += ["-c", "boot/boot.cat", "-b", BIOS_IMAGE, "-no-emul-boot", "-boot-load-size", "4"]
    command += ["-boot-info-table", "--grub2-boot-info"]
    command += ["-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::", "-no-emul-boot"]
    return [*command, *grafts]


def _efi_size(part: BootPart) -> int:
    # FAT16 with clusters of one sector has at least 4085 of them.
    content = sum(round_up(content_size(c), SECTOR) + SECTOR for c in part.loaders.values())
    return round_up(max(content + content // 128, 3 * MIB) + MIB // 2, MIB)


def _placed(path: Path, content: Content) -> Path:
    if isinstance(content, Path):
        return content
    path.write_bytes(content)
    return path
