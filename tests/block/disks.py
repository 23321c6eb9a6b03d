"""Real disks in raw files: GPT, EFI system partition, ext4 and swap, made by the usual tools."""

from __future__ import annotations

from pathlib import Path

from castcore.edge.run import run
from castcore.units import MIB

from tests.support.images import blank, noise, write_at

SECTOR = 512
EFI, ROOT, SWAP = 1 * MIB, 41 * MIB, 105 * MIB
SIZES = {EFI: 40 * MIB, ROOT: 64 * MIB, SWAP: 8 * MIB}
SIZE = 120 * MIB


def tool(*command: str | Path, data: bytes | None = None) -> str:
    """Run a program; return what it printed. Raises ProgramFailed."""
    return run([str(c) for c in command], timeout=60, data=data).decode(errors="replace")


def system_disk(folder: Path) -> Path:
    """A disk of 120 MiB: FAT32, ext4 with deleted files' remains in its free blocks, swap."""
    raw = blank(folder / "system.raw", SIZE)
    table = "label: gpt\n" + "".join(
        f"start={start // SECTOR}, size={SIZES[start] // SECTOR}, type={kind}\n"
        for start, kind in ((EFI, "uefi"), (ROOT, "linux"), (SWAP, "swap"))
    )
    tool("sfdisk", "--quiet", raw, data=table.encode())
    write_at(raw, ROOT + 40 * MIB, noise(8 * MIB, 99))  # free blocks are not empty on real disks
    for start, make in ((EFI, fat), (ROOT, ext4), (SWAP, swap)):
        part = folder / "part.raw"
        with raw.open("rb") as disk:
            disk.seek(start)
            part.write_bytes(disk.read(SIZES[start]))
        make(part, folder)
        write_at(raw, start, part.read_bytes())
        part.unlink()
    return raw


def fat(part: Path, folder: Path) -> None:
    tool("mkfs.vfat", "-F", "32", "-n", "ESP", part)
    loader = folder / "loader.efi"
    loader.write_bytes(noise(300_000, 5))
    tool("mcopy", "-i", part, loader, "::/LOADER.EFI")


def ext4(part: Path, folder: Path) -> None:
    tree = folder / "tree"
    tree.mkdir(exist_ok=True)
    (tree / "random").write_bytes(noise(3_000_000, 6))
    (tree / "text").write_text("all work and no play\n" * 40_000)
    (tree / "zeros").write_bytes(bytes(3_000_000))
    tool("mkfs.ext4", "-q", "-F", "-L", "root", "-d", tree, part)


def swap(part: Path, folder: Path) -> None:
    tool("mkswap", part)


def extract(raw: Path, start: int, length: int, part: Path) -> Path:
    """A partition of a disk as a file."""
    with raw.open("rb") as disk:
        disk.seek(start)
        part.write_bytes(disk.read(length))
    return part


def require_clean(raw: Path, folder: Path) -> None:
    """Fail unless table and file systems of a :func:`system_disk` are clean."""
    assert "No problems found" in tool("sgdisk", "-v", raw)
    tool("fsck.fat", "-n", extract(raw, EFI, SIZES[EFI], folder / "check.fat"))
    tool("e2fsck", "-fn", extract(raw, ROOT, SIZES[ROOT], folder / "check.ext4"))
