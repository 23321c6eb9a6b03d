"""A disk's layout as it is read: the table's partitions, each with what blkid finds in it."""

from __future__ import annotations

from dataclasses import replace

from castcore.disk import DiskLayout, Extent, Partition, TableType
from castcore.disk.fssector import largest_sector
from castcore.disk.mbr import EXTENDED
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.contents import Contents, probe_region
from castcore.edge.disk.table import Table, read_table
from castcore.errors import BadImage

# The number of the one "partition" that a disk without a table has: the disk itself.
WHOLE_DISK = 0


def read_layout(disk: BlockFile) -> tuple[DiskLayout, Table]:
    """The layout of ``disk`` and the table it comes from.

    A disk without a table has one partition, number WHOLE_DISK, when there is anything to say of
    it. Where the layout cannot be trusted ``why`` of a partition says so. Raises DiskFailed,
    MissingProgram (blkid).
    """
    table = read_table(disk)
    whole = probe_region(disk.path, Extent(0, disk.size))
    if table.type is not TableType.NONE and (whole.usage or whole.trouble):
        # exFAT's boot sector looks like an MBR without partitions. Otherwise it is a RAID member or a
        # hybrid ISO: there is more than the table says, and a backup table would overwrite it.
        both = f"the disk has a partition table and reads as {whole.fstype or 'something else too'}"
        table = Table(TableType.NONE, trouble=both if table.partitions else "")
    if table.type is TableType.NONE:
        partitions = _whole_disk(disk, whole, table.trouble)
    else:
        partitions = tuple(_probed(disk, p) for p in table.partitions)
    layout = DiskLayout(disk.size, disk.sector_size, table.type, table.uuid, partitions)
    return layout, table


def is_extended(partition: Partition) -> bool:
    """Whether ``partition`` is the container of an MBR's logical partitions."""
    return len(partition.type) == 2 and int(partition.type, 16) in EXTENDED


def _whole_disk(disk: BlockFile, whole: Contents, trouble: str) -> tuple[Partition, ...]:
    if not (whole.fstype or whole.trouble or trouble):
        return ()
    partition = _with(Partition(WHOLE_DISK, 0, disk.size), whole)
    return (replace(partition, why=trouble) if trouble else partition,)


def _probed(disk: BlockFile, partition: Partition) -> Partition:
    if is_extended(partition):
        return partition
    found = _with(partition, probe_region(disk.path, partition.extent))
    return replace(found, largest_sector=_largest_sector(disk, found))


def _largest_sector(disk: BlockFile, partition: Partition) -> int:
    def read(offset: int, length: int) -> bytes:
        if offset + length > partition.length:
            raise BadImage(f"its superblock lies after the end of partition {partition.number}")
        return disk.read(partition.start + offset, length)

    try:
        return largest_sector(partition.fstype, partition.length, read)
    except BadImage:
        return 0


def _with(partition: Partition, found: Contents) -> Partition:
    return replace(
        partition, fstype=found.fstype, fs_uuid=found.uuid, label=found.label, why=found.trouble
    )
