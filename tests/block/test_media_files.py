"""Files of a boot medium from made-up boot files: read by other hands, the same when made twice."""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from castcore.edge import run
from castcore.errors import NoSpace
from castmedia.biosgrub import BiosGrub
from castmedia.bootpart import BootPart, Content, fat_size, write_fat
from castmedia.isoimage import iso_size, write_iso
from castmedia.output import whole_file
from castmedia.usbimage import usb_size, write_usb

# UEFI Specification 2.10, table 5-7; GRUB's manual, section "BIOS installation".
EFI_SYSTEM = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
FILES = {
    "EFI/BOOT/BOOTX64.EFI": b"shim" * 230_000,
    "EFI/BOOT/grubx64.efi": b"grub" * 600_000,
    "EFI/BOOT/mmx64.efi": b"keys" * 200_000,
    "boot/grub/grub.cfg": b"menuentry {}\n",
    "boot/vmlinuz": b"kernel" * 1_500_000,
    "boot/initrd.img": os.urandom(3_000_001),
    "boot/settings.cpio": b"070701" + bytes(506),
}


@pytest.fixture
def part(tmp_path: Path) -> BootPart:
    folder = tmp_path / "grub"
    folder.mkdir()
    core = bytearray(b"\xc0" * 40_000)
    struct.pack_into("<QHH", core, 500, 1, 78, 0x820)
    (folder / "hybrid").write_bytes(b"\xeb" * 512)
    (folder / "cd").write_bytes(b"\xcd" * 30_000)
    return BootPart(FILES, BiosGrub(b"\xb0" * 512, folder / "hybrid", bytes(core), folder / "cd"))


def iso(part: BootPart, folder: Path) -> Path:
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    write_iso(folder / "m.iso", part, scratch, lambda _: None)
    return folder / "m.iso"


def usb(part: BootPart, folder: Path) -> Path:
    folder.mkdir()
    write_usb(folder / "m.img", part)
    return folder / "m.img"


def read_fat(image: Path, offset: int, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    run.run(["mcopy", "-s", "-i", f"{image}@@{offset}", "::/", str(folder)], timeout=60)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def partitions(image: Path) -> dict[int, tuple[int, str]]:
    """By number: first byte and type GUID, as sfdisk reads them."""
    said = run.run(["sfdisk", "--dump", str(image)], timeout=60).decode()
    rows = re.findall(r"(\d+) : start= *(\d+), size= *\d+, type=([0-9A-F-]+)", said)
    return {int(number): (int(start) * 512, kind.lower()) for number, start, kind in rows}


@pytest.mark.parametrize("make", [iso, usb])
def test_the_same_inputs_give_the_same_bytes(part: BootPart, tmp_path: Path, make: object) -> None:
    assert callable(make)
    first = make(part, tmp_path / "1").read_bytes()
    time.sleep(2.1)  # FAT counts in two seconds
    assert make(part, tmp_path / "2").read_bytes() == first


def test_another_content_is_another_medium(part: BootPart, tmp_path: Path) -> None:
    changed = BootPart(FILES | {"boot/grub/grub.cfg": b"menuentry { }\n"}, part.bios)
    assert changed.digest != part.digest
    uuids = {
        run.run(["blkid", "-p", "-o", "value", "-s", "UUID", str(iso(p, tmp_path / n))], timeout=60)
        for n, p in (("1", part), ("2", changed))
    }
    assert len(uuids) == 2


def test_a_stick_image_holds_the_files_and_grub_where_its_sectors_say(
    part: BootPart, tmp_path: Path
) -> None:
    image = usb(part, tmp_path / "usb")
    assert image.stat().st_size == usb_size(part)
    table = partitions(image)
    assert [kind for _, kind in table.values()] == [BIOS_BOOT, EFI_SYSTEM]
    assert read_fat(image, table[2][0], tmp_path / "fat") == FILES
    data = image.read_bytes()
    (core_at,) = struct.unpack_from("<Q", data, 0x5C)
    assert core_at * 512 == table[1][0]
    first, count, _ = struct.unpack_from("<QHH", data, core_at * 512 + 500)
    assert data[first * 512 : (first + count) * 512].startswith(part.bios.core[512:])
    assert b"No problems found" in run.run(["sgdisk", "--verify", str(image)], timeout=60)
    check = tmp_path / "check.fat"
    check.write_bytes(data[table[2][0] : table[2][0] + fat_size(FILES)])
    run.run(["fsck.fat", "-n", str(check)], timeout=60)


def test_an_iso_has_the_files_and_what_firmware_reads(part: BootPart, tmp_path: Path) -> None:
    image = iso(part, tmp_path / "iso")
    assert image.stat().st_size <= iso_size(part)
    out = tmp_path / "out"
    run.run(["xorriso", "-osirrox", "on", "-indev", str(image), "-extract", "/", str(out)], timeout=60)
    held = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert {n: c for n, c in held.items() if n in FILES} == {
        n: c for n, c in FILES.items() if not n.startswith("EFI/")
    }
    efi = next(start for start, kind in partitions(image).values() if kind == EFI_SYSTEM)
    loaders = read_fat(image, efi, tmp_path / "fat")
    assert loaders == {n: c for n, c in FILES.items() if n.startswith("EFI/") or n.endswith("grub.cfg")}
    said = run.run(["xorriso", "-indev", str(image), "-report_el_torito", "plain"], timeout=60).decode()
    assert re.search(r"El Torito boot img :\s+1\s+BIOS\s+y", said)
    assert re.search(r"El Torito boot img :\s+2\s+UEFI\s+y", said)


@pytest.mark.parametrize("size", [1, 40_000_000, 200_000_000, 300_000_000])
def test_the_size_that_is_planned_is_enough(tmp_path: Path, size: int) -> None:
    big = tmp_path / "big"
    big.touch()
    os.truncate(big, size)
    files: dict[str, Content] = {
        "boot/big": big,
        "boot/grub/grub.cfg": b"x",
        "EFI/BOOT/BOOTX64.EFI": b"y",
    }
    fat = tmp_path / "fat.img"
    write_fat(fat, files, label="FLEETCAST", size=fat_size(files), volume_id="0123abcd")
    assert run.run(["blkid", "-p", "-o", "value", "-s", "VERSION", str(fat)], timeout=60) == b"FAT32\n"
    assert run.run(["blkid", "-p", "-o", "value", "-s", "UUID", str(fat)], timeout=60) == b"0123-ABCD\n"
    run.run(["fsck.fat", "-n", str(fat)], timeout=120)


def test_files_that_have_no_room_are_told(tmp_path: Path) -> None:
    with pytest.raises(NoSpace, match="no room"):
        write_fat(
            tmp_path / "f", {"big": bytes(50 << 20)}, label="X", size=40 << 20, volume_id="00000001"
        )


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    run.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], timeout=60)
    yield folder
    run.run(["umount", str(folder)], timeout=60)


def make(target: Path, part: BootPart, scratch: Path, form: str) -> None:
    with whole_file(target) as partial:
        if form == "iso":
            write_iso(partial, part, scratch, lambda _: None)
        else:
            write_usb(partial, part)


@pytest.mark.root
@pytest.mark.parametrize("form", ["iso", "usb"])
def test_a_full_target_disk_leaves_nothing(
    part: BootPart, small: Path, tmp_path: Path, form: str
) -> None:
    with pytest.raises(NoSpace):
        make(small / "m.iso", part, tmp_path, form)
    assert list(small.iterdir()) == []
