"""What to change in a firmware's boot entries after a disk was written. Pure.

Only entries of that disk change: the image's own are added or brought up to date, those of partitions
that are gone are removed. Everything else keeps its number and its place in the order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from castcore.disk.devicepath import HardDrive, PciHop
from castcore.disk.loadoption import LoadOption

_MOST_NUMBERS = 0x10000


@dataclass(frozen=True, slots=True)
class BootVariables:
    """A firmware's boot entries by number, the order it tries them in, and the next boot's, if set."""

    options: Mapping[int, LoadOption]
    order: tuple[int, ...]
    next: int | None = None

    def in_order(self) -> tuple[int, ...]:
        """The numbers of all entries, those outside the order last."""
        ranked = [n for n in dict.fromkeys(self.order) if n in self.options]
        return (*ranked, *sorted(set(self.options) - set(ranked)))


@dataclass(frozen=True, slots=True)
class WrittenDisk:
    """By what firmware can name the disk that was written.

    ``marks`` are those of its partitions now, ``gone`` those that no disk of the machine has any more;
    ``hops`` lead to its controller, where ``serial`` tells several disks apart.
    """

    marks: Collection[str]
    gone: Collection[str] = ()
    hops: tuple[PciHop, ...] = ()
    serial: str = ""


@dataclass(frozen=True, slots=True)
class BootPlan:
    """Entries to write and to remove by number, the whole new order, the next boot (None: as it was)."""

    writes: tuple[tuple[int, LoadOption], ...]
    removes: tuple[int, ...]
    order: tuple[int, ...]
    next: int | None


def plan_boot(now: BootVariables, wanted: Sequence[LoadOption], disk: WrittenDisk) -> BootPlan:
    """What makes the firmware know ``wanted``, the entries of ``disk``, and boot it next."""
    stale = [n for n in now.in_order() if _names(now.options[n], disk.gone)]
    numbers, writes = _numbered(now, wanted, stale)
    removed = tuple(n for n in stale if n not in numbers)
    order = _placed(now, numbers, stale, disk)
    kept = {n: o for n, o in now.options.items() if n not in stale}
    left = BootVariables(kept | dict(writes), order)
    active = [n for n, option in zip(numbers, wanted, strict=True) if option.active]
    return BootPlan(writes, removed, order, active[0] if active else disk_entry(left, disk))


def disk_entry(now: BootVariables, disk: WrittenDisk) -> int | None:
    """The number of the entry that boots ``disk``; None when none does or it cannot be told.

    An entry naming one of its partitions comes first; else the firmware's own entry for the whole disk.
    """
    tried = [n for n in now.in_order() if now.options[n].active and not now.options[n].over_network]
    named = [n for n in tried if _names(now.options[n], disk.marks)]
    return named[0] if named else _whole_disk(now, tried, disk)


def _whole_disk(now: BootVariables, numbers: Sequence[int], disk: WrittenDisk) -> int | None:
    """The firmware's own entry for the whole disk, known by its controller, and there by its serial."""
    if not disk.hops:
        return None
    same = [n for n in numbers if now.options[n].partition is None and now.options[n].hops == disk.hops]
    if len(same) > 1 and disk.serial:
        same = [n for n in same if disk.serial in now.options[n].description]
    return same[0] if len(same) == 1 else None


def _names(option: LoadOption, marks: Collection[str]) -> bool:
    drive: HardDrive | None = option.partition
    return drive is not None and drive.mark in marks


def _numbered(
    now: BootVariables, wanted: Sequence[LoadOption], stale: Sequence[int]
) -> tuple[list[int], tuple[tuple[int, LoadOption], ...]]:
    """A number for each of ``wanted``, and those whose entries must be written."""
    free = [*stale, *(n for n in range(_MOST_NUMBERS) if n not in now.options)]
    taken: dict[int, LoadOption] = {}
    for option in wanted:
        same = [
            n
            for n in now.in_order()
            if n not in taken and n not in stale and _same_place(now.options[n], option)
        ]
        number = same[0] if same else next(n for n in free if n not in taken)
        taken[number] = option
    changed = tuple((n, option) for n, option in taken.items() if now.options.get(n) != option)
    return list(taken), changed


def _same_place(one: LoadOption, other: LoadOption) -> bool:
    left, right = one.partition, other.partition
    if (
        left is None
        or right is None
        or (left.kind, left.mark, left.number)
        != (
            right.kind,
            right.mark,
            right.number,
        )
    ):
        return False
    return one.loader.lower() == other.loader.lower()


def _placed(
    now: BootVariables, numbers: Sequence[int], stale: Sequence[int], disk: WrittenDisk
) -> tuple[int, ...]:
    """The order with ``numbers`` in it: where the disk's entries stood, else before the firmware's own
    entry of the disk, else behind the network's, else in front.
    """
    order = [n for n in now.order if n not in stale or n in numbers]
    new = [n for n in numbers if n not in now.order]
    if not new:
        return tuple(order)
    places = [i for i, n in enumerate(order) if n in numbers]
    if places:
        at = places[-1] + 1
    elif lost := [i for i, n in enumerate(now.order) if n in stale]:
        at = sum(n in order for n in now.order[: lost[0]])
    else:
        at = _before_own_entry(now, order, disk)
    return (*order[:at], *new, *order[at:])


def _before_own_entry(now: BootVariables, order: Sequence[int], disk: WrittenDisk) -> int:
    known = [n for n in order if n in now.options]
    own = _whole_disk(now, known, disk)
    if own is not None:
        return list(order).index(own)
    network = [i for i, n in enumerate(order) if n in now.options and now.options[n].over_network]
    return network[-1] + 1 if network else 0
