"""LVM's own tools without a device mapper: volume groups on a loop device, their volumes by offset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from castcore.disk import Taken
from castcore.units import KIB, MIB

from tests.block.agedtree import Kinds, fill
from tests.block.contents import Content, ext_check, ext_used, hashed, mounted, tool, xfs_check, xfs_used

GROUP = "fleetmatrix"
ROOT, HOME, PIECES, SWAP = "root", "home", "pieces", "swap"


def lvm(device: str, command: str, *words: str) -> str:
    """One of LVM's commands that sees ``device`` only and activates nothing."""
    config = (
        f'devices {{ filter=["a|^{device}$|","r|.*|"] use_devicesfile=0 }}'
        " global { activation=0 use_lvmpolld=0 } activation { udev_sync=0 udev_rules=0 }"
        " backup { backup=0 archive=0 }"
    )
    return tool("lvm", command, "--config", config, "--driverloaded", "n", *words)


def create(device: str, name: str, size: int, *options: str) -> None:
    no_writes = ("-an", "-Zn", "-Wn", "-y")
    lvm(device, "lvcreate", *no_writes, *options, "-L", f"{size}b", "-n", name, GROUP)


def group(device: str, **sizes: int) -> None:
    """A volume group on ``device`` with linear volumes of ``sizes`` bytes."""
    lvm(device, "pvcreate", "-y", "-ff", device)
    lvm(device, "vgcreate", GROUP, device)
    for name, size in sizes.items():
        create(device, name, size)


@contextmanager
def volume(device: str, name: str) -> Iterator[str]:
    """A loop device over the first piece of the volume ``name``, where LVM says that it is."""
    columns = "lv_name,pvseg_start,pvseg_size,pe_start,vg_extent_size"
    told = lvm(
        device, "pvs", "--segments", "--units", "b", "--nosuffix", "--noheadings", "-o", columns, device
    )
    for line in told.splitlines():
        words = line.split()
        if words[:1] == [name]:
            start, count, first, unit = map(int, words[1:5])
            break
    else:
        raise AssertionError(f"no volume {name} in: {told}")
    sector = tool("blockdev", "--getss", device).strip()
    part = ["--offset", str(first + start * unit), "--sizelimit", str(count * unit)]
    loop = tool("losetup", "--find", "--show", "--sector-size", sector, *part, device).strip()
    try:
        yield loop
    finally:
        tool("losetup", "--detach", loop)


def made(device: str, _sector: int) -> None:
    group(device, **{ROOT: 120 * MIB, PIECES: 16 * MIB, SWAP: 32 * MIB, HOME: 320 * MIB})
    lvm(device, "lvextend", "-L", f"{24 * MIB}b", f"{GROUP}/{PIECES}")
    for name, make in (
        (ROOT, ["mkfs.ext4", "-q", "-F", "-b", "4096"]),
        (HOME, ["mkfs.xfs", "-q", "-f"]),
    ):
        with volume(device, name) as inner:
            tool(*make, inner)
            with mounted(inner) as point:
                fill(point, Kinds(files=1200))
    with volume(device, SWAP) as inner:
        tool("mkswap", "-q", "-L", "pages", inner)


def check(device: str) -> None:
    lvm(device, "vgck", GROUP)
    for name, check_it in ((ROOT, ext_check), (HOME, xfs_check)):
        with volume(device, name) as inner:
            check_it(inner)
    with volume(device, SWAP) as inner:
        assert "pages" in tool("swaplabel", inner)


def files(device: str) -> str:
    trees = []
    for name in (ROOT, HOME):
        with volume(device, name) as inner:
            trees.append(hashed(inner, "-o", "ro", least=700))
    return " ".join(trees)


def used(device: str) -> int:
    """What the file systems say, and the volume of which nothing is known."""
    total = 24 * MIB + 4 * KIB + 4 * MIB
    for name, used_of in ((ROOT, ext_used), (HOME, xfs_used)):
        with volume(device, name) as inner:
            total += used_of(inner)
    return total


LVM = Content(
    "lvm", "LVM2_member", 560 * MIB, made, check, files, used, Taken.USED, f"{GROUP}/{ROOT} used"
)
