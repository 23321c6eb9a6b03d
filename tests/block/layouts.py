"""How the disks of the matrix are divided, by sgdisk, sfdisk and parted on a loop device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from castcore.disk import Extent, TableType
from castcore.units import KIB, MIB

from tests.block.contents import tool
from tests.support.images import noise

START = 4 * MIB
AFTER = 6 * MIB


@dataclass(frozen=True)
class Layout:
    """One layout; ``divide`` takes the disk's device, sector size and the size of the content.

    ``number`` is the partition that holds the content, ``kept`` are bytes outside of it that must come
    back, and ``check`` judges table and all on a device.
    """

    name: str
    table: TableType
    divide: Callable[[str, int, int], None]
    number: int = 1
    start: int = START
    kept: tuple[Extent, ...] = ()
    check: tuple[str, ...] = ("sfdisk", "--verify")
    sectors: tuple[int, ...] = (512, 4096)

    def disk_size(self, content: int) -> int:
        return content if self.table is TableType.NONE else self.start + content + AFTER


def _sgdisk(*options: str) -> Callable[[str, int, int], None]:
    def divide(device: str, sector: int, size: int) -> None:
        first, last = START // sector, (START + size) // sector - 1
        tool(
            "sgdisk",
            "--clear",
            *options[:1],
            f"--new=1:{first}:{last}",
            "--change-name=1:Wurzel",
            *options[1:],
            device,
        )

    return divide


def _with_bios_boot(device: str, sector: int, size: int) -> None:
    _sgdisk()(device, sector, size)
    tool("sgdisk", f"--new=14:{2 * MIB // sector}:{3 * MIB // sector - 1}", "--typecode=14:ef02", device)
    tool("sgdisk", f"--new=15:{3 * MIB // sector}:{4 * MIB // sector - 1}", "--typecode=15:0c01", device)


def _mbr(device: str, sector: int, size: int) -> None:
    tool(
        "parted",
        "-s",
        device,
        "mklabel",
        "msdos",
        "mkpart",
        "primary",
        "ext2",
        f"{START}B",
        f"{START + size - 1}B",
        "set",
        "1",
        "boot",
        "on",
    )
    # It told the kernel of its partition, which would stay with the loop device for whoever is next.
    tool("partx", "--delete", device, ok=(0, 1))


def _logical(device: str, sector: int, size: int) -> None:
    first, extended = START // sector, START // sector - MIB // sector
    lines = [
        "label: dos",
        f"start={MIB // sector}, size={MIB // sector}, type=27",  # a vendor's hidden recovery system
        f"start={extended}, size={(size + AFTER - 2 * MIB) // sector}, type=f",
        f"start={first}, size={size // sector}, type=7",
        f"start={first + (size + 2 * MIB) // sector}, size={MIB // sector}, type=17",
    ]
    tool("sfdisk", "-q", "--no-reread", "--no-tell-kernel", device, data="\n".join(lines).encode())


def _nothing(device: str, sector: int, size: int) -> None:
    return None


GAP = Extent(0, MIB)
LAYOUTS = (
    Layout("gpt", TableType.GPT, _sgdisk(), check=("sgdisk", "-v")),
    Layout(
        "mbr-logical", TableType.MBR, _logical, 5, kept=(GAP, Extent(MIB, MIB), Extent(START - MIB, MIB))
    ),
    Layout("no table", TableType.NONE, _nothing, 0, 0, check=("true",)),
    Layout("gpt-4 entries", TableType.GPT, _sgdisk("--resize-table=4"), check=("sgdisk", "-v")),
    Layout("gpt-256 entries", TableType.GPT, _sgdisk("--resize-table=256"), check=("sgdisk", "-v")),
    Layout(
        "gpt-hybrid", TableType.GPT, _sgdisk("--set-alignment=1", "--hybrid=1"), check=("sgdisk", "-v")
    ),
    Layout(
        "gpt-bios boot",
        TableType.GPT,
        _with_bios_boot,
        kept=(Extent(2 * MIB, 2 * MIB),),
        check=("sgdisk", "-v"),
    ),
    Layout("mbr", TableType.MBR, _mbr, kept=(GAP,)),
)


def put_boot_code(disk: Path, layout: Layout) -> None:
    """Something that is no zeros wherever boot code stands outside of the table's own bytes."""
    if layout.table is TableType.NONE:
        return
    with disk.open("r+b") as file:
        file.write(noise(440, 1))
        for extent in layout.kept:
            file.seek(extent.start + 64 * KIB)  # behind tables and boot records
            file.write(noise(200 * KIB, 2))
