"""What a partition is for, by its type: words for people, hidden ones called so. Pure.

GPT types from UEFI 2.10 (table 5-7), Microsoft's PARTITION_INFORMATION_GPT and the Discoverable
Partitions Specification; MBR types are practice.
"""

from __future__ import annotations

from castcore.disk.layout import Partition

HIDDEN = "hidden"
_GPT = {
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system",
    "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
    "e3c9e316-0b5c-4db8-817d-f92df00215ae": f"Microsoft reserved, {HIDDEN}",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Windows data",
    "de94bba4-06d1-4d40-a16a-bfd50179d6ac": f"Windows recovery, {HIDDEN}",
    "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": f"Windows dynamic disk database, {HIDDEN}",
    "af9b60a0-1431-4f62-bc68-3311714a69ad": "Windows dynamic disk",
    "bfbfafe7-a34f-448a-9a5b-6213eb736c22": f"Lenovo recovery, {HIDDEN}",
    "f4019732-066e-4e12-8273-346c5641494f": f"Sony recovery, {HIDDEN}",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root",
    "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux home",
    "bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux boot",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
    "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
    "48465300-0000-11aa-aa11-00306543ecac": "Apple HFS+",
    "7c3457ef-0000-11aa-aa11-00306543ecac": "Apple APFS",
}
_MBR = {
    "05": "extended",
    "0f": "extended",
    "85": "extended",
    "01": "FAT",
    "04": "FAT",
    "06": "FAT",
    "0b": "FAT",
    "0c": "FAT",
    "0e": "FAT",
    "07": "NTFS or exFAT",
    "12": f"maker's recovery, {HIDDEN}",
    "11": f"FAT, {HIDDEN}",
    "14": f"FAT, {HIDDEN}",
    "16": f"FAT, {HIDDEN}",
    "1b": f"FAT, {HIDDEN}",
    "1c": f"FAT, {HIDDEN}",
    "1e": f"FAT, {HIDDEN}",
    "17": f"NTFS or exFAT, {HIDDEN}",
    "27": f"Windows recovery, {HIDDEN}",
    "de": f"Dell utility, {HIDDEN}",
    "42": "Windows dynamic disk",
    "82": "Linux swap",
    "83": "Linux",
    "8e": "Linux LVM",
    "ef": "EFI system",
    "fd": "Linux RAID",
}


def kind_of(partition: Partition) -> str:
    """What ``partition`` is for; an unknown type as the table spells it, "" without any."""
    known = (_GPT | _MBR).get(partition.type.lower())
    return known if known is not None else partition.type
