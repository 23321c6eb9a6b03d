"""What stands in the partitions of the matrix: how it is made and filled, checked, and read back.

Everything by the file systems' own tools. ``used`` is what they themselves call in use, in bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.disk import Taken
from castcore.edge.run import run
from castcore.units import MIB

from tests.block.agedtree import Kinds, count_files, fill, tree_hash
from tests.support.images import noise

SECONDS = 300.0
PLAIN = Kinds(sparse=False, links=False, attributes=False)
NTFS_COMPRESSED = (0x0800).to_bytes(4, "big")

Made = Callable[[str, int], None]


@dataclass(frozen=True)
class Content:
    """One content; every function takes the path of a block device that is its partition.

    ``make`` also takes the sector size; ``files`` names what must come back; ``used`` is None for what
    is taken by every sector, and then ``why`` is a part of the reason and ``stores`` the most that an
    image may store of it.
    """

    name: str
    fstype: str
    size: int
    make: Made
    check: Callable[[str], None]
    files: Callable[[str], str]
    used: Callable[[str], int] | None
    taken: Taken = Taken.USED
    why: str = ""
    sectors: tuple[int, ...] = (512, 4096)
    stores: int = 0


def tool(*command: str | Path, ok: tuple[int, ...] = (0,), data: bytes | None = None) -> str:
    """What a program printed. Raises ProgramFailed."""
    done = run([str(c) for c in command], timeout=SECONDS, ok=ok, data=data)
    return done.decode(errors="replace")


@contextmanager
def mounted(device: str, *how: str, program: str = "mount") -> Iterator[Path]:
    point = Path(f"/run/fleetcast-matrix-{os.getpid()}")
    point.mkdir()
    try:
        tool(program, *how, device, point)
        try:
            yield point
        finally:
            tool("umount", point)
    finally:
        point.rmdir()


def number_in(text: str, pattern: str, base: int = 10) -> int:
    found = re.search(pattern, text)
    assert found, f"no {pattern!r} in: {text[-500:]}"
    return int(found[1], base)


def hashed(device: str, *how: str, program: str = "mount", least: int = 1000) -> str:
    with mounted(device, *how, program=program) as point:
        assert count_files(point) >= least
        return tree_hash(point)


def _kernel(
    name: str, fstype: str, size: int, *make: str, sectors: tuple[int, ...] = (512, 4096)
) -> Content:
    """A file system that the kernel mounts."""

    def made(device: str, _sector: int) -> None:
        tool(*make, device)
        with mounted(device) as point:
            fill(point, Kinds())

    def files(device: str) -> str:
        # A log that was cleanly closed needs no writing to mount read-only.
        return hashed(device, "-o", "ro")

    checks = {"ext": ext_check, "xfs": xfs_check, "btr": btrfs_check}
    useds = {"ext": ext_used, "xfs": xfs_used, "btr": btrfs_used}
    check, used = checks[fstype[:3]], useds[fstype[:3]]
    return Content(name, fstype, size, made, check, files, used, sectors=sectors)


def ext_check(device: str) -> None:
    tool("e2fsck", "-fn", device)


def ext_used(device: str) -> int:
    told = tool("dumpe2fs", "-h", device)
    blocks, free = number_in(told, r"Block count: +(\d+)"), number_in(told, r"Free blocks: +(\d+)")
    return (blocks - free) * number_in(told, r"Block size: +(\d+)")


def xfs_check(device: str) -> None:
    tool("xfs_repair", "-n", device)


def xfs_used(device: str) -> int:
    told = tool("xfs_db", "-r", "-c", "sb 0", "-c", "print dblocks fdblocks blocksize", device)
    blocks, free = number_in(told, r"dblocks = (\d+)"), number_in(told, r"fdblocks = (\d+)")
    return (blocks - free) * number_in(told, r"blocksize = (\d+)")


def btrfs_check(device: str) -> None:
    tool("btrfs", "check", "--readonly", "--check-data-csum", device)


def btrfs_used(device: str) -> int:
    with mounted(device, "-o", "ro") as point:
        return number_in(tool("btrfs", "filesystem", "usage", "-b", point), r"\n\s+Used:\s+(\d+)")


def ntfs_make(device: str, sector: int) -> None:
    tool("mkfs.ntfs", "-q", "-F", "-s", str(sector), "-L", "Daten", device)
    with mounted(device, "-o", "compression", program="ntfs-3g") as point:
        pressed = point / "pressed"
        pressed.mkdir()
        os.setxattr(pressed, "system.ntfs_attrib_be", NTFS_COMPRESSED)
        for number in range(20):
            (pressed / f"text-{number}").write_bytes(b"all work and no play\n" * 5000 * number)
        fill(point, Kinds(files=1600))


def ntfs_check(device: str) -> None:
    tool("ntfsfix", "-n", device)
    with Path(device).open("rb") as file:
        first = file.read(512)
        file.seek(-int.from_bytes(first[11:13], "little"), os.SEEK_END)
        # The backup of its boot sector stands behind the file system's own end.
        assert file.read(512)[:90] == first[:90]


def ntfs_files(device: str) -> str:
    return hashed(device, "-o", "ro", program="ntfs-3g")


def ntfs_used(device: str) -> int:
    told = tool("ntfsinfo", "-m", device)
    clusters = number_in(told, r"Volume Size in Clusters: (\d+)")
    free = number_in(told, r"Free Clusters: (\d+)")
    return (clusters - free) * number_in(told, r"Cluster Size: (\d+)")


def _fat(bits: int, size: int, sectors_per_cluster: int, files: int) -> Content:
    def made(device: str, sector: int) -> None:
        options = [
            "-F",
            str(bits),
            "-S",
            str(sector),
            "-s",
            str(sectors_per_cluster * 512 // sector or 1),
        ]
        tool("mkfs.fat", *options, "-n", "FLEET", device)
        tree = Path(f"/run/fleetcast-fat-{os.getpid()}")
        tree.mkdir()
        try:
            fill(tree, Kinds(files, sparse=False, links=False, attributes=False))
            tool("mcopy", "-s", "-i", device, *sorted(tree.iterdir()), "::")
            tool("mdeltree", "-i", device, "::old/d3", "::old/d4", "::new/d9")
            tool("mcopy", "-s", "-i", device, tree / "large", "::again")
        finally:
            tool("rm", "-r", tree)

    def read_back(device: str) -> str:
        tree = Path(f"/run/fleetcast-fat-{os.getpid()}")
        tree.mkdir()
        try:
            tool("mcopy", "-s", "-m", "-n", "-i", device, "::", tree)
            assert count_files(tree) >= files // 2
            return tree_hash(tree)
        finally:
            tool("rm", "-r", tree)

    # mtools reads sectors of up to 4096 bytes of a file, but of a device only its own.
    return Content(f"fat{bits}", "vfat", size, made, fat_check, read_back, fat_used)


def fat_check(device: str) -> None:
    tool("fsck.fat", "-n", device)


def fat_used(device: str) -> int:
    told = tool("fsck.fat", "-n", "-v", device)
    used = number_in(told, r"files, (\d+)/\d+ clusters") * number_in(told, r"(\d+) bytes per cluster")
    return used + number_in(told, r"Data area starts at byte (\d+)")


def exfat_make(device: str, _sector: int) -> None:
    tool("mkfs.exfat", "-L", "FLEET", device)
    with mounted(device, program="mount.exfat-fuse") as point:
        fill(point, Kinds(files=1600, sparse=False, links=False, attributes=False))


def exfat_check(device: str) -> None:
    tool("fsck.exfat", "-n", device)


def exfat_files(device: str) -> str:
    return hashed(device, "-o", "ro", program="mount.exfat-fuse")


def exfat_used(device: str) -> int:
    told = tool("dump.exfat", device)
    clusters, free = (number_in(told, rf"{w} Clusters:\s+(\d+)") for w in ("Total", "Free"))
    heap = number_in(told, r"Cluster Heap Offset.*:\s+(\d+)")
    sector = 1 << number_in(told, r"Sector Size Bits:\s+(\d+)")
    return heap * sector + (clusters - free) * number_in(told, r"Cluster size:\s+(\d+)")


def f2fs_make(device: str, _sector: int) -> None:
    tool("mkfs.f2fs", "-q", "-f", "-l", "FLEET", device)
    tree = Path(f"/run/fleetcast-f2fs-{os.getpid()}")
    tree.mkdir()
    try:
        fill(tree, PLAIN)
        tool("sload.f2fs", "-f", tree, device)
    finally:
        tool("rm", "-r", tree)


def f2fs_check(device: str) -> None:
    assert "[Fail]" not in tool("fsck.f2fs", "--dry-run", device)


def f2fs_files(device: str) -> str:
    """The contents of every file, as dump.f2fs extracts them by inode (Linux 6.18 here has no F2FS)."""
    folder = Path(f"/run/fleetcast-f2fs-{os.getpid()}")
    folder.mkdir()
    try:
        for inode in range(4, 300):
            dump = ["dump.f2fs", "-i", f"{inode:x}", device]
            run(dump, timeout=SECONDS, data=b"Y\n", cwd=folder, ok=(0, 255, 1))
        found = sorted(folder.rglob("*.bin"))
        assert len(found) >= 80
        # What is extracted has new times: names and contents are what counts.
        return repr([(path.name, hashlib.blake2b(path.read_bytes()).hexdigest()) for path in found])
    finally:
        tool("rm", "-r", folder)


def f2fs_used(device: str) -> int:
    told = tool("fsck.f2fs", "--dry-run", device)
    valid = number_in(told, r"valid_block_count matching with CP +\[Ok..\] \[0x([0-9a-f]+)\]", 16)
    return (
        valid + number_in(tool("dump.f2fs", "-d", "1", device), r"main_blkaddr\s+\[0x.*: (\d+)\]")
    ) * 4096


def swap_make(device: str, _sector: int) -> None:
    tool("mkswap", "-q", "-L", "pages", device)


def swap_check(device: str) -> None:
    assert "pages" in tool("swaplabel", device)


def noise_make(device: str, _sector: int) -> None:
    with Path(device).open("r+b") as file:
        file.write(noise(3 * MIB, 8))


def luks_make(device: str, _sector: int) -> None:
    """A LUKS1 header by its specification (cryptsetup needs the device mapper to format)."""
    with Path(device).open("r+b") as file:
        file.write(
            (b"LUKS\xba\xbe\0\x01aes".ljust(168, b"\0") + b"0b7d61ce-7ab2-4a6c-8d36-2f1e0f2a93d4").ljust(
                592, b"\0"
            )
        )
        file.seek(0, os.SEEK_END)
        end = file.tell()
        file.seek(4096)
        # A container on an erased disk holds zeros mostly.
        file.writelines(bytes(min(MIB, end - at)) for at in range(4096, end, MIB))
        file.seek(2 * MIB)
        file.write(noise(2 * MIB, 9))


def nothing(_device: str) -> None:
    return None


def no_files(_device: str) -> str:
    return ""


def a_page(_device: str) -> int:
    return 4096


def _every(name: str, fstype: str, size: int, make: Made, why: str, stores: int) -> Content:
    """What no reader knows: every sector."""
    return Content(name, fstype, size, make, nothing, no_files, None, Taken.EVERY, why, (512,), stores)


CONTENTS = (
    _kernel("ext2", "ext2", 192 * MIB, "mkfs.ext2", "-q", "-F", "-b", "4096"),
    _kernel("ext3", "ext3", 192 * MIB, "mkfs.ext3", "-q", "-F", "-b", "4096"),
    _kernel("ext4", "ext4", 256 * MIB, "mkfs.ext4", "-q", "-F", "-b", "4096"),
    _kernel("ext4-1k", "ext4", 192 * MIB, "mkfs.ext4", "-q", "-F", "-b", "1024", sectors=(512,)),
    _kernel(
        "ext4-meta_bg",
        "ext4",
        256 * MIB,
        "mkfs.ext4",
        "-q",
        "-F",
        "-b",
        "4096",
        "-O",
        "meta_bg,^resize_inode",
    ),
    _kernel("xfs", "xfs", 400 * MIB, "mkfs.xfs", "-q", "-f"),
    _kernel(
        "btrfs-single", "btrfs", 300 * MIB, "mkfs.btrfs", "-q", "-f", "-m", "single", "-d", "single"
    ),
    _kernel("btrfs-dup", "btrfs", 400 * MIB, "mkfs.btrfs", "-q", "-f", "-m", "dup", "-d", "dup"),
    _kernel("btrfs-mixed", "btrfs", 200 * MIB, "mkfs.btrfs", "-q", "-f", "--mixed", "--csum", "sha256"),
    Content("ntfs", "ntfs", 256 * MIB, ntfs_make, ntfs_check, ntfs_files, ntfs_used),
    _fat(12, 100 * MIB, 64, 160),
    _fat(16, 256 * MIB, 16, 1600),
    _fat(32, 300 * MIB, 8, 1600),
    Content("exfat", "exfat", 200 * MIB, exfat_make, exfat_check, exfat_files, exfat_used),
    Content("f2fs", "f2fs", 200 * MIB, f2fs_make, f2fs_check, f2fs_files, f2fs_used),
    Content("swap", "swap", 64 * MIB, swap_make, swap_check, no_files, a_page, Taken.HEADER, "swap"),
    _every("unknown", "", 32 * MIB, noise_make, "unknown content", 33 * MIB),
    _every("luks", "crypto_LUKS", 400 * MIB, luks_make, "crypto_LUKS", 3 * MIB),
)
