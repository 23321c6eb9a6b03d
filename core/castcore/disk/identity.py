"""Who a disk is, whatever the kernel calls it today: naming one, and telling several paths from disks.

Device names follow the order in which a machine finds its disks, and that order changes. A target is
therefore named by what stays: ``by-id:``, ``by-path:``, ``wwn:``, ``serial:``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from castcore.disk.layout import DiskFacts
from castcore.errors import NotFound, Refused
from castcore.units import human

KINDS = ("by-id", "by-path", "wwn", "serial")
_SELECTOR = re.compile(rf"({'|'.join(KINDS)}):(.+)")
# What blkid calls a disk that a firmware RAID (on-board, "fake RAID") has made part of an array.
FIRMWARE_RAID = {
    "isw_raid_member": "Intel Rapid Storage (IMSM)",
    "ddf_raid_member": "DDF",
    "adaptec_raid_member": "Adaptec HostRAID",
    "hpt37x_raid_member": "HighPoint 37x",
    "hpt45x_raid_member": "HighPoint 45x",
    "jmicron_raid_member": "JMicron",
    "lsi_mega_raid_member": "LSI MegaRAID",
    "nvidia_raid_member": "NVIDIA",
    "promise_fasttrack_raid_member": "Promise FastTrak",
    "silicon_medley_raid_member": "Silicon Image",
    "via_raid_member": "VIA",
}
# Buses whose disks can be reached over several paths. ATA, USB and NVMe disks cannot (the kernel
# joins NVMe's paths itself); equal numbers there are careless makers' or copied virtual disks'.
MANY_PATHS = frozenset({"scsi", "fc", "sas", "iscsi"})


def is_selector(text: str) -> bool:
    """Whether ``text`` names a disk by what stays rather than by a path."""
    return _SELECTOR.fullmatch(text) is not None


def answers_to(facts: DiskFacts, selector: str) -> bool:
    """Whether ``selector`` (``kind:value``) names the disk ``facts``."""
    found = _SELECTOR.fullmatch(selector)
    if found is None:
        return False
    kind, value = found[1], found[2]
    match kind:
        case "wwn":
            return bool(facts.wwn) and _bare(facts.wwn) == _bare(value)
        case "serial":
            return facts.serial == value
        case _:
            return f"{kind}/{value}" in facts.names or (kind == "by-id" and facts.stable_id == value)


def find_disk(selector: str, disks: Iterable[DiskFacts]) -> DiskFacts:
    """The one disk that ``selector`` names; of several paths to one LUN, the first.

    Raises NotFound with the disks there are, Refused when it names several.
    """
    seen = tuple(disks)
    found = [f for f in seen if answers_to(f, selector) and not f.first_path]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(described(f) for f in found)
        raise Refused(
            f"{selector} names {len(found)} disks: {listed}", hint="name it by-path: or by-id:"
        )
    listed = ", ".join(described(f) for f in seen) or "none"
    raise NotFound(
        f"no disk is {selector}; the disks are: {listed}", hint="`lsblk -S` shows more of them"
    )


def described(facts: DiskFacts) -> str:
    """A disk in a list: device node, stable name, model and size."""
    model = f"{facts.model}, " if facts.model else ""
    return f"{facts.path} (by-id:{facts.stable_id}, {model}{human(facts.size)})"


def firmware_raid(facts: DiskFacts) -> str:
    """Whose firmware RAID the disk is a member of, "" when of none.

    A raw file is none, whatever metadata it holds: no firmware will look at it.
    """
    if facts.layout is None or facts.bus == "file":
        return ""
    return next(
        (FIRMWARE_RAID[p.fstype] for p in facts.layout.partitions if p.fstype in FIRMWARE_RAID), ""
    )


def with_first_paths(disks: Sequence[DiskFacts]) -> tuple[DiskFacts, ...]:
    """``disks`` in their order, each further path to a LUN marked with the one that stands for it.

    The paths of one LUN have its world wide name, serial, size and model. Which comes first is decided
    by their places on the bus, which stay, not by their device nodes.
    """
    first: dict[tuple[object, ...], DiskFacts] = {}
    for facts in sorted(disks, key=_place):
        if facts.wwn and facts.bus in MANY_PATHS:
            first.setdefault(_lun(facts), facts)
    return tuple(
        facts
        if (head := first.get(_lun(facts), facts)) is facts
        else replace(facts, first_path=head.path)
        for facts in disks
    )


def same_disk(one: DiskFacts, other: DiskFacts) -> bool:
    """Whether two facts are of one disk: the same device, or two paths to it."""
    heads = {one.first_path or one.path, other.first_path or other.path}
    return len(heads) == 1 or (one.stable_id == other.stable_id and one.bus == "file")


def _lun(facts: DiskFacts) -> tuple[object, ...]:
    return facts.bus, facts.wwn, facts.serial, facts.model, facts.size, facts.sector_size


def _place(facts: DiskFacts) -> tuple[str, str]:
    return next((n for n in facts.names if n.startswith("by-path/")), ""), facts.path


def _bare(wwn: str) -> str:
    return wwn.lower().removeprefix("naa.").removeprefix("eui.").removeprefix("0x")
