"""EFI system partitions of real disks: their loaders are found, and a capture knows what to boot."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from castcore.disk.fs.fatfiles import FatVolume
from castcore.disk.loaders import has_fallback, loaders
from castcore.edge.image.bootrecord import given_entry
from castcore.edge.image.capture import CaptureOptions, capture
from castcore.errors import BadImage, NotFound, Refused
from castcore.units import MIB

from tests.block.disks import SECTOR, tool
from tests.support.images import blank, noise, write_at

pytestmark = pytest.mark.root
# Bits of a FAT: MiB, and sectors a cluster.
KINDS = {"12": (2, "1"), "16": (16, "1"), "32": (40, "1")}
START = MIB
FILES = {
    "EFI/debian/shimx64.efi": 300_000,
    "EFI/debian/grubx64.efi": 5,
    "EFI/Microsoft/Boot/bootmgfw.efi": 70_001,
    "EFI/Microsoft/Boot/memtest.efi": 0,
    "EFI/tools/a program with a long name.efi": 1000,
}


def esp(path: Path, kind: str, files: dict[str, int] = FILES) -> Path:
    """An EFI system partition of ``kind`` as a raw file, its files scattered by deleted ones."""
    blank(path, KINDS[kind][0] * MIB)
    tool("mkfs.fat", "-F", kind, "-s", KINDS[kind][1], path)
    folders = {str(p) for name in files for p in Path(name).parents if str(p) != "."}
    tool("mmd", "-i", path, *(f"::{name}" for name in sorted(folders)))
    spacer = path.with_suffix(".spacer")
    for number in range(40):
        spacer.write_bytes(noise(3000, 100 + number))
        tool("mcopy", "-i", path, spacer, f"::spacer{number}")
    tool("mdel", "-i", path, *(f"::spacer{number}" for number in range(0, 40, 2)))
    for seed, (name, size) in enumerate(files.items()):
        spacer.write_bytes(noise(size, seed))
        tool("mcopy", "-i", path, spacer, f"::{name}")
    return path


def volume(path: Path) -> FatVolume:
    data = path.read_bytes()
    return FatVolume(lambda offset, length: data[offset : offset + length], len(data))


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_read_as_they_are(tmp_path: Path, kind: str) -> None:
    fat = volume(esp(tmp_path / "esp.raw", kind))
    for seed, (name, size) in enumerate(FILES.items()):
        found = fat.find("\\" + name.upper().replace("/", "\\"))
        assert found is not None, name
        assert fat.content(found, 1 << 20) == noise(size, seed)
    assert fat.find("\\EFI\\debian\\nothing.efi") is None
    assert fat.find("\\EFI\\debian\\shimx64.efi\\x") is None
    assert len(fat.entries()) == 21
    assert loaders(fat) == (
        "\\EFI\\debian\\shimx64.efi",
        "\\EFI\\Microsoft\\Boot\\bootmgfw.efi",
        "\\EFI\\debian\\grubx64.efi",
        "\\EFI\\Microsoft\\Boot\\memtest.efi",
        "\\EFI\\tools\\a program with a long name.efi",
    )
    assert not has_fallback(fat)
    largest = fat.find("\\EFI\\debian\\shimx64.efi")
    assert largest is not None
    with pytest.raises(BadImage, match="more than"):
        fat.content(largest, 299_999)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_ones_are_refused_or_read_within_bounds(tmp_path: Path, kind: str) -> None:
    data = bytearray(esp(tmp_path / "esp.raw", kind).read_bytes())
    rng = random.Random(kind)
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(rng.randrange(1, 12)):
            # The boot sector, the first FAT's start, and anywhere.
            place = rng.choice((rng.randrange(64), rng.randrange(64 << 10), rng.randrange(len(data))))
            broken[place] = rng.choice((0, 1, 2, 0xFF, rng.randrange(256)))
        read = Counted(broken)
        try:
            fat = FatVolume(read, len(broken))
            for path in loaders(fat):
                found = fat.find(path)
                assert found is not None
                fat.content(found, 1 << 20)
        except BadImage:
            pass
        assert read.bytes < 300 * MIB


class Counted:
    def __init__(self, data: bytearray) -> None:
        self._data, self.bytes = data, 0

    def __call__(self, offset: int, length: int) -> bytes:
        self.bytes += length
        return bytes(self._data[offset : offset + length])


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    raw = blank(tmp_path / "disk.raw", 24 * MIB)
    table = f"label: gpt\nstart={START // SECTOR}, size={16 * MIB // SECTOR}, type=uefi\n"
    tool("sfdisk", "--quiet", raw, data=table.encode())
    write_at(raw, START, esp(tmp_path / "esp.raw", "16").read_bytes())
    return raw


def captured(disk: Path, *given: str) -> list[tuple[str, str, int]]:
    options = CaptureOptions(boot_entries=tuple(map(given_entry, given)), replace=True)
    manifest = capture(disk, disk.parent / "store/disk.fcast", options=options)
    return [(e.description, e.loader, e.partition) for e in manifest.boot_entries]


def test_a_system_without_the_fallback_loader_is_found(disk: Path) -> None:
    assert captured(disk) == [
        ("debian", "\\EFI\\debian\\shimx64.efi", 1),
        ("Windows Boot Manager", "\\EFI\\Microsoft\\Boot\\bootmgfw.efi", 1),
    ]


def test_given_entries_count_alone(disk: Path) -> None:
    entry = "Tools=/EFI/tools/A program with a long name.efi"
    assert captured(disk, entry) == [("Tools", "\\EFI\\tools\\A program with a long name.efi", 1)]


def test_a_disk_that_boots_by_itself_needs_no_entry(disk: Path) -> None:
    part = f"{disk}@@{START}"
    tool("mmd", "-i", part, "::EFI/BOOT")
    tool("mcopy", "-i", part, "-", "::EFI/BOOT/BOOTX64.EFI", data=b"loader")
    assert captured(disk) == []


def test_a_loader_that_is_not_there_is_refused(disk: Path) -> None:
    with pytest.raises(NotFound, match="no EFI system partition holds") as caught:
        captured(disk, "x=\\EFI\\x.efi")
    assert "\\EFI\\debian\\shimx64.efi" in caught.value.hint
    assert not list((disk.parent / "store").glob("*.fcast"))
    with pytest.raises(Refused):
        given_entry("Windows")
