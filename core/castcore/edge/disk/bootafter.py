"""After a restore: the firmware of this machine gets the image's boot entries, and boots its disk next.

UEFI only. What to change is decided by :mod:`castcore.disk.bootplan`; a BIOS has no entries to make.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from castcore.disk import BootEntry, DiskFacts, DiskLayout
from castcore.disk.bootentry import load_option
from castcore.disk.bootplan import BootPlan, BootVariables, WrittenDisk, plan_boot
from castcore.disk.devicepath import PciHop
from castcore.disk.loadoption import LoadOption
from castcore.edge import efivars
from castcore.edge.disk import probe

# In sysfs a hop is DOMAIN:BUS:DEVICE.FUNCTION.
_SYSFS_HOP = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:([0-9a-f]{2})\.([0-7])")


def boot_afterwards(
    entries: Sequence[BootEntry], targets: Sequence[DiskFacts], *, folder: Path = efivars.FOLDER
) -> list[str]:
    """Make ``entries`` known to the firmware, and the disk they boot the next one; say what was done.

    ``targets`` are the disks of the image as they were before they were written, in its order. Raises
    DiskFailed when the firmware refuses.
    """
    if not efivars.available(folder):
        return ["not started by UEFI: the firmware's own order decides what boots next"]
    now = efivars.boot_variables(folder)
    layouts = [_layout(target.path) for target in targets]
    wanted = _wanted(entries, layouts)
    plan = plan_boot(now, wanted, _written(targets, layouts, _elsewhere(targets)))
    efivars.apply(plan, now, folder)
    return list(_said(plan, now))


def sysfs_hops(resolved: str) -> tuple[PciHop, ...]:
    """The PCI hops in the resolved sysfs path of a block device."""
    found = (_SYSFS_HOP.fullmatch(part) for part in resolved.split("/"))
    return tuple(PciHop(int(hop[1], 16), int(hop[2])) for hop in found if hop)


def _wanted(entries: Iterable[BootEntry], layouts: Sequence[DiskLayout | None]) -> list[LoadOption]:
    wanted = []
    for entry in entries:
        layout = layouts[entry.disk] if entry.disk < len(layouts) else None
        option = load_option(entry, layout) if layout is not None else None
        if option is not None:
            wanted.append(option)
    return wanted


def _written(
    targets: Sequence[DiskFacts], layouts: Sequence[DiskLayout | None], elsewhere: frozenset[str]
) -> WrittenDisk:
    marks = frozenset(mark for layout in layouts for mark in _marks(layout))
    former = frozenset(mark for target in targets for mark in _marks(target.layout))
    device = Path("/sys/class/block") / Path(targets[0].path).resolve().name
    return WrittenDisk(
        marks=marks,
        gone=former - marks - elsewhere,
        hops=sysfs_hops(str(device.resolve())),
        serial=targets[0].serial,
    )


def _elsewhere(targets: Sequence[DiskFacts]) -> frozenset[str]:
    """What marks the partitions of the machine's other disks."""
    ours = {target.stable_id for target in targets}
    others = (disk for disk in probe.disks() if disk.stable_id not in ours)
    return frozenset(mark for disk in others for mark in _marks(disk.layout))


def _marks(layout: DiskLayout | None) -> Iterable[str]:
    """By what a firmware names the partitions of a disk: their GUIDs, or the disk's signature."""
    if layout is None:
        return ()
    named = [p.uuid.lower() for p in layout.partitions if p.uuid]
    return named or ([layout.table_uuid.lower()] if layout.table_uuid else [])


def _layout(path: str) -> DiskLayout | None:
    """The disk as it was written: its table may stand for other sectors, or another size."""
    return probe.disk(path).layout


def _said(plan: BootPlan, now: BootVariables) -> Iterable[str]:
    for number, option in plan.writes:
        verb = "changed" if number in now.options else "made"
        yield f"boot entry {verb}: Boot{number:04X} {option.description}: {option.loader}"
    for number in plan.removes:
        yield f"boot entry removed: Boot{number:04X} {now.options[number].description}"
    if plan.next is None:
        yield "the firmware has no boot entry for this disk yet; its own order decides"
    else:
        named = dict(plan.writes).get(plan.next) or now.options[plan.next]
        yield f"next boot: Boot{plan.next:04X} {named.description}"
