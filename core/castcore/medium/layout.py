"""Where the parts of a boot medium lie.

A client medium has its boot part alone. A deploy medium has two places for it (slots), of which the
table names one: an update fills the other and then changes the table, one sector at a time, so that the
medium starts at every moment. The ledger and the data stay where they are. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from castcore.disk import Extent, Partition
from castcore.errors import DoesNotFit
from castcore.units import MIB, exactly, round_down, round_up

EFI_SYSTEM = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
LEDGER_TYPE = "5fc2e141-1098-491f-849c-d53387e8b749"  # our own
LINUX_DATA = "0fc63daf-8483-4772-8e79-3d69d8477de4"
BASIC_DATA = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"

# BIOS GRUB's core image; the partition has two of them on a deploy medium.
BIOS_START, BIOS_SIZE = MIB, MIB
BIOS_SLOT = BIOS_SIZE // 2
BOOT_START = BIOS_START + BIOS_SIZE
BOOT_SLOT = 512 * MIB
BOOT_SLOTS = 2
LEDGER_START, LEDGER_SIZE = BOOT_START + BOOT_SLOTS * BOOT_SLOT, MIB
# Flash erases some MiB at once: the data begin with such a piece.
DATA_ALIGN = 4 * MIB
DATA_START = round_up(LEDGER_START + LEDGER_SIZE, DATA_ALIGN)
LEAST_DATA = 64 * MIB
# The backup table, rounded up so that partitions end on a MiB.
TAIL = MIB

# In the data partition.
IMAGES, LICENCES, PXE_TREE = "images", "licences", "pxe"


class MediumKind(StrEnum):
    """What a medium is for: to start clients, or to carry images as well."""

    CLIENT = "client"
    DEPLOY = "deploy"


class Role(StrEnum):
    """A part of a medium; the value is the partition's name."""

    BIOS = "fleetcast-bios"
    BOOT = "fleetcast-boot"
    LEDGER = "fleetcast-ledger"
    DATA = "fleetcast-data"


class DataFileSystem(StrEnum):
    """The file system of the data partition; the value is blkid's word for it."""

    EXT4 = "ext4"
    EXFAT = "exfat"

    @property
    def partition_type(self) -> str:
        """The type GUID under which other systems look for it."""
        return BASIC_DATA if self is DataFileSystem.EXFAT else LINUX_DATA


@dataclass(frozen=True, slots=True)
class Layout:
    """A medium's plan in bytes: ``ledger`` and ``data`` are None on a client medium.

    ``boot_slots`` are where the boot part (an EFI system partition) may lie, ``bios_slots`` the same for
    GRUB's core image; a new medium uses the first of each.
    """

    kind: MediumKind
    disk_size: int
    sector_size: int
    bios: Extent
    boot_slots: tuple[Extent, ...]
    bios_slots: tuple[Extent, ...]
    ledger: Extent | None = None
    data: Extent | None = None
    filesystem: DataFileSystem = DataFileSystem.EXT4

    def partitions(self, uuids: Sequence[str], *, slot: int = 0) -> tuple[Partition, ...]:
        """The table's partitions with ``uuids`` (as many), the boot part in ``slot``."""
        places: list[tuple[Role, Extent | None, str]] = [
            (Role.BIOS, self.bios, BIOS_BOOT),
            (Role.BOOT, self.boot_slots[slot], EFI_SYSTEM),
            (Role.LEDGER, self.ledger, LEDGER_TYPE),
            (Role.DATA, self.data, self.filesystem.partition_type),
        ]
        there = [(role, extent, kind) for role, extent, kind in places if extent is not None]
        return tuple(
            Partition(number, extent.start, extent.length, kind, uuid, role)
            for number, ((role, extent, kind), uuid) in enumerate(zip(there, uuids, strict=True), 1)
        )


def least_size(kind: MediumKind, *, boot_size: int = BOOT_SLOT, data_size: int = LEAST_DATA) -> int:
    """Bytes of the smallest disk that becomes such a medium.

    ``boot_size`` counts for a client medium, whose boot part is as large as its content.
    """
    if kind is MediumKind.CLIENT:
        return BOOT_START + round_up(boot_size, MIB) + TAIL
    return DATA_START + round_up(max(data_size, LEAST_DATA), MIB) + TAIL


def plan_layout(
    disk_size: int,
    sector_size: int,
    kind: MediumKind,
    *,
    boot_size: int = BOOT_SLOT,
    filesystem: DataFileSystem = DataFileSystem.EXT4,
) -> Layout:
    """The layout of a medium of ``kind`` on a disk of ``disk_size`` bytes. Raises DoesNotFit.

    ``boot_size`` are the bytes of the boot part's file system: a client medium gets as many.
    """
    least = least_size(kind, boot_size=boot_size)
    if disk_size < least:
        raise DoesNotFit(
            f"a {kind} medium needs at least {exactly(least)}, there are {exactly(disk_size)}",
            hint="use a larger stick or image file",
        )
    bios = Extent(BIOS_START, BIOS_SIZE)
    if kind is MediumKind.CLIENT:
        boot = Extent(BOOT_START, round_up(boot_size, MIB))
        return Layout(kind, disk_size, sector_size, bios, (boot,), (bios,))
    if boot_size > BOOT_SLOT:
        raise DoesNotFit(
            f"the boot part needs {exactly(boot_size)}, a deploy medium has {exactly(BOOT_SLOT)} for it",
            hint="leave drivers or extra files out",
        )
    data = Extent(DATA_START, round_down(disk_size - TAIL, MIB) - DATA_START)
    return Layout(
        kind,
        disk_size,
        sector_size,
        bios,
        boot_slots=tuple(Extent(BOOT_START + n * BOOT_SLOT, BOOT_SLOT) for n in range(BOOT_SLOTS)),
        bios_slots=tuple(Extent(BIOS_START + n * BIOS_SLOT, BIOS_SLOT) for n in range(BOOT_SLOTS)),
        ledger=Extent(LEDGER_START, LEDGER_SIZE),
        data=data,
        filesystem=filesystem,
    )
