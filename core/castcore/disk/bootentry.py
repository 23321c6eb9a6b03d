"""Boot entries of an image: what the firmware must know so that a restored disk boots. Pure.

A firmware names a partition by what its table says (GUID, first sector); an image says which of its
partitions is meant, and the entry is made anew for the table that the target really has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from castcore.disk.devicepath import FilePath, HardDrive, Signature
from castcore.disk.layout import DiskLayout, Partition, TableType
from castcore.disk.loadoption import ACTIVE, LoadOption

# Types of an EFI system partition (UEFI 2.10, tables 5-3 and 5-7).
EFI_SYSTEM = frozenset({"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "ef"})
# What the firmware starts of a disk it has no entry for (UEFI 2.10, section 3.5.1.1), 64-bit x86.
FALLBACK_LOADER = "\\EFI\\BOOT\\BOOTX64.EFI"

# More than any firmware keeps; a variable must stay a small thing.
MOST_TEXT, MOST_DATA = 1024, 16384


@dataclass(frozen=True, slots=True)
class BootEntry:
    """One boot entry: partition number ``partition`` of the image's disk number ``disk``.

    ``loader`` is the path on that partition with backslashes ("": the firmware's default there);
    ``data`` is handed to the loader, in hex. Entries stand in the order they are tried.
    """

    description: str
    loader: str
    disk: int
    partition: int
    data: str = ""
    active: bool = True

    def __post_init__(self) -> None:
        if len(self.description) > MOST_TEXT or len(self.loader) > MOST_TEXT:
            raise ValueError(f"a boot entry's texts have at most {MOST_TEXT} characters")
        if len(bytes.fromhex(self.data)) > MOST_DATA:
            raise ValueError(f"a boot entry's data has at most {MOST_DATA} bytes")


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody who signed, or whose key signed a signer's: ``name`` for people, ``key`` the hex SHA-256
    of the name as certificates encode it.
    """

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class BootLoader:
    """An EFI program of an image, by ``path`` on partition number ``partition`` of disk number ``disk``.

    ``signers`` are all that its signatures' certificates name; () when it is not signed.
    """

    path: str
    disk: int
    partition: int
    signers: tuple[Signer, ...] = ()

    @property
    def is_fallback(self) -> bool:
        """Whether the firmware starts it without a boot entry."""
        return self.path.lower() == FALLBACK_LOADER.lower()


def recorded(options: Iterable[LoadOption], disks: Sequence[DiskLayout]) -> tuple[BootEntry, ...]:
    """Those of a machine's ``options`` that boot one of ``disks``, in the given order."""
    found = []
    for option in options:
        drive = option.partition
        longest = max(len(option.description), len(option.loader))
        sane = longest <= MOST_TEXT and len(option.data) <= MOST_DATA
        if drive is None or option.over_network or not sane:
            continue
        for number, layout in enumerate(disks):
            partition = partition_of(drive, layout)
            if partition is not None:
                entry = BootEntry(
                    description=option.description,
                    loader=option.loader,
                    disk=number,
                    partition=partition.number,
                    data=option.data.hex(),
                    active=option.active,
                )
                found.append(entry)
                break
    return tuple(found)


def partition_of(drive: HardDrive, layout: DiskLayout) -> Partition | None:
    """The partition of ``layout`` that ``drive`` names, None when it names one of another disk."""
    for partition in layout.partitions:
        if drive.kind is Signature.GPT and partition.uuid.lower() == drive.mark:
            return partition
        same_disk = drive.kind is Signature.MBR and layout.table_uuid.lower() == drive.mark
        if same_disk and partition.number == drive.number:
            return partition
    return None


def load_option(entry: BootEntry, layout: DiskLayout) -> LoadOption | None:
    """``entry`` as the firmware keeps it for a disk of ``layout``; None without such a partition."""
    partition = next((p for p in layout.partitions if p.number == entry.partition), None)
    if partition is None or layout.table is TableType.NONE:
        return None
    gpt = layout.table is TableType.GPT
    drive = HardDrive(
        number=partition.number,
        start=partition.start // layout.sector_size,
        length=partition.length // layout.sector_size,
        kind=Signature.GPT if gpt else Signature.MBR,
        mark=partition.uuid.lower() if gpt else layout.table_uuid.lower(),
    )
    path = (drive, FilePath(entry.loader)) if entry.loader else (drive,)
    return LoadOption(entry.description, path, bytes.fromhex(entry.data), ACTIVE if entry.active else 0)


def efi_system_partitions(layout: DiskLayout) -> Iterator[Partition]:
    """Where the firmware looks for loaders on a disk of ``layout``."""
    return (p for p in layout.partitions if p.type.lower() in EFI_SYSTEM)


def normal_loader(path: str) -> str:
    """``path`` as the firmware wants it: from the root, with backslashes."""
    return "\\" + path.replace("/", "\\").strip("\\")
