"""One partition of an image on one partition of a disk: whether it fits, and what will be done.

Pure: layouts and facts in, a plan or every reason out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from castcore.disk.extent import Extent, Extents, intersect, total
from castcore.disk.fit import Fit, Imaged, Reason, ReasonCode, unwritable
from castcore.disk.layout import DiskFacts, Partition, TableType, Taken
from castcore.disk.mbr import EXTENDED
from castcore.disk.plan import Action, ActionKind, Plan, Wishes
from castcore.units import exactly, human

# File systems that hold the size of their disk's sectors.
_OWN_SECTORS = frozenset({"vfat", "exfat", "ntfs"})


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """``source`` of disk ``disk`` of the image goes to ``place``, a partition of the target."""

    plan: Plan
    disk: int
    source: Partition
    place: Partition

    @property
    def target(self) -> DiskFacts:
        """The disk that is written."""
        return self.plan.targets[0]


def plan_partition(
    name: str,
    disks: Sequence[Imaged],
    wanted: tuple[int, int],
    target: DiskFacts,
    into: int,
    wishes: Wishes,
) -> PartitionPlan | Fit:
    """How partition ``wanted`` (disk, number) of the image ``name`` gets on partition ``into`` of
    ``target`` (0: the one of the same number), or every reason why it cannot.
    """
    number, partition = wanted
    if number >= len(disks):
        text = f"the image holds {len(disks)} disks, and no disk {number}"
        return Fit((Reason(ReasonCode.COUNT, text),))
    disk = disks[number]
    source = next((p for p in disk.layout.partitions if p.number == partition), None)
    held = target.layout.partitions if target.layout is not None else ()
    place = next((p for p in held if p.number == (into or partition)), None)
    reasons = [*_missing(disk, source, partition, target, place, into or partition), *unwritable(target)]
    if source is not None and place is not None:
        reasons += _differing(disk, source, target, place)
    if reasons or source is None or place is None:
        return Fit(tuple(reasons))
    used = total(_within(disk.in_use, source))
    actions = (
        [Action(ActionKind.CHECK, f"prove every chunk of {name}", size=used)] if wishes.check else []
    )
    text = f"write {human(used)} to partition {place.number}, its start last of all"
    actions.append(Action(ActionKind.WRITE, text, target.path, used))
    if wishes.verify:
        text = f"read {human(used)} back from the disk and prove them"
        actions.append(Action(ActionKind.VERIFY, text, target.path, used))
    made = Plan(name, (target,), tuple(actions), tuple(_notes(source, target, place)))
    return PartitionPlan(made, number, source, place)


def _within(in_use: Extents, partition: Partition) -> Extents:
    return intersect(in_use, (Extent(partition.start, partition.length),))


def _missing(
    disk: Imaged,
    source: Partition | None,
    number: int,
    target: DiskFacts,
    place: Partition | None,
    into: int,
) -> Iterator[Reason]:
    """The partitions that are not there, or hold nothing of their own."""
    code = ReasonCode.UNKNOWN_PARTITION
    if source is None:
        yield Reason(
            code, f"the image has no partition {number} (it has: {_numbers(disk.layout.partitions)})"
        )
    elif source.taken is Taken.NOTHING:
        yield Reason(code, f"the image was captured without partition {number}")
    elif _is_extended(source):
        yield Reason(code, f"partition {number} of the image only holds logical partitions")
    held = target.layout.partitions if target.layout is not None else ()
    if place is None:
        yield Reason(code, f"{target.path} has no partition {into} (it has: {_numbers(held)})")
    elif _is_extended(place):
        yield Reason(code, f"partition {into} of {target.path} only holds logical partitions")


def _differing(disk: Imaged, source: Partition, target: DiskFacts, place: Partition) -> Iterator[Reason]:
    """Why ``source`` does not go on ``place``, each with both figures."""
    there = f"partition {place.number} of {target.path}"
    if place.length < source.length:
        text = (
            f"{there} is too small: the image's has {exactly(source.length)},"
            f" it has {exactly(place.length)}"
        )
        yield Reason(ReasonCode.SMALLER, text)
    table = target.layout.table if target.layout is not None else TableType.NONE
    if table is not disk.layout.table:
        text = (
            f"{target.path} has a table of type {table}, the imaged disk one of type {disk.layout.table}"
        )
        yield Reason(ReasonCode.TABLE_TYPE, text)
    elif place.type != source.type:
        text = f"{there} is of type {place.type or 'none'}, the image's of type {source.type or 'none'}"
        yield Reason(ReasonCode.PARTITION_TYPE, text)
    if not _sectors_agree(disk, source, target):
        text = (
            f"{target.path} has sectors of {target.sector_size} bytes, partition {source.number} of the"
            f" image ({source.fstype or 'unknown'}) comes from a disk with sectors of"
            f" {disk.layout.sector_size} bytes"
        )
        yield Reason(ReasonCode.SECTOR_SIZE, text)


def _sectors_agree(disk: Imaged, source: Partition, target: DiskFacts) -> bool:
    if target.sector_size == disk.layout.sector_size:
        return True
    return source.fstype not in _OWN_SECTORS and source.largest_sector >= target.sector_size


def _notes(source: Partition, target: DiskFacts, place: Partition) -> Iterator[str]:
    holds = f"{place.fstype or 'unknown content'}{f' {place.label}' if place.label else ''}"
    yield f"partition {place.number} of {target.path} holds {holds} now; nothing else is touched"
    more = place.length - source.length
    if more:
        yield f"it is {human(more)} larger than the image's: the file system keeps its size"


def _is_extended(partition: Partition) -> bool:
    return len(partition.type) == 2 and int(partition.type, 16) in EXTENDED


def _numbers(partitions: Sequence[Partition]) -> str:
    return ", ".join(str(p.number) for p in partitions) or "none"
