"""What a restore will do, as a value: shown before it is done, and all there is of a dry run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from castcore.disk.extent import total
from castcore.disk.fit import Fit, Imaged, Reason, ReasonCode, fit_all
from castcore.disk.growth import MBR_SECTORS, Growth, GrowTool, growth
from castcore.disk.layout import DiskFacts, TableType
from castcore.disk.sectors import Conversion, Rework, conversion, fat_bits
from castcore.units import MIB, exactly, human

# A disk's first chunk: it is written last (castcore.image, "Restoring").
HEAD = MIB


class ActionKind(StrEnum):
    """What one step of a plan does."""

    CHECK = "check"
    CLEAR = "clear"
    WRITE = "write"
    TABLE = "table"
    VERIFY = "verify"
    CONVERT = "convert"
    GROW = "grow"


@dataclass(frozen=True, slots=True)
class Action:
    """One step: ``text`` is for a person, ``target`` the disk it changes or reads ("": none).

    ``size`` is how many bytes it writes, or reads when it only reads.
    """

    kind: ActionKind
    text: str
    target: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asked for: ``check`` the image first, ``verify`` the disks afterwards.

    ``grow`` are the partitions to grow then, each by the number of its disk in the image and its own;
    ``convert`` allows for disks with other sectors, where that is sound. ``delta``: what a disk holds
    already is not written; ``discard``: what the image does not use is told to be free.
    """

    check: bool = True
    verify: bool = False
    grow: tuple[tuple[int, int], ...] = ()
    convert: bool = False
    delta: bool = False
    discard: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in their order, the disks they change, and what the operator should know.

    ``growths`` are the partitions that grow, ``conversions`` what changes for other sectors, each with
    the number of its disk in the image.
    """

    image: str
    targets: tuple[DiskFacts, ...]
    actions: tuple[Action, ...]
    notes: tuple[str, ...] = ()
    growths: tuple[tuple[int, Growth], ...] = ()
    conversions: tuple[tuple[int, Conversion], ...] = ()


def plan_restore(
    name: str, disks: Sequence[Imaged], targets: Sequence[DiskFacts], wishes: Wishes
) -> Plan | Fit:
    """How the image ``name`` of ``disks`` gets on ``targets``, or every reason why it cannot."""
    verdict = fit_all(disks, targets, convert=wishes.convert)
    if not verdict.ok:
        return verdict
    growths = _growths(disks, targets, wishes)
    if isinstance(growths, Fit):
        return growths
    changes = _conversions(disks, targets)
    pairs = list(zip(disks, targets, strict=True))
    actions: list[Action] = []
    if wishes.check:
        used = sum(total(d.in_use) for d in disks)
        actions.append(Action(ActionKind.CHECK, f"prove every chunk of {name}", size=used))
    actions += [action for disk, target in pairs for action in _clear(disk, target)]
    actions += [_write(disk, target, wishes) for disk, target in pairs]
    actions += [a for number, change in changes for a in _convert(targets[number], change)]
    actions += [_table(disk, target) for disk, target in pairs]
    if wishes.verify:
        actions += [_verify(disk, target) for disk, target in pairs]
    actions += [_grow(targets[number], grown) for number, grown in growths]
    notes = tuple(note for disk, target in pairs for note in _notes(disk, target))
    notes += tuple(note for _, change in changes for note in change.notes)
    if any(grown.tool is GrowTool.NTFS for _, grown in growths):
        notes += ("Windows checks a grown NTFS when it starts the next time",)
    return Plan(name, tuple(targets), tuple(actions), notes, growths, changes)


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """``plan`` as JSON values; sizes in bytes."""
    return {
        "image": plan.image,
        "targets": [
            {
                "image_disk": number,
                "path": t.path,
                "stable_id": t.stable_id,
                "model": t.model,
                "serial": t.serial,
                "wwn": t.wwn,
                "size": t.size,
                "sector_size": t.sector_size,
            }
            for number, t in enumerate(plan.targets)
        ],
        "actions": [
            {"kind": a.kind.value, "target": a.target, "size": a.size, "text": a.text}
            for a in plan.actions
        ],
        "notes": list(plan.notes),
    }


def plan_lines(plan: Plan) -> list[str]:
    """``plan`` for a person."""
    steps = [
        f"  {n}. {a.target + ': ' if a.target else ''}{a.text}" for n, a in enumerate(plan.actions, 1)
    ]
    return ["plan:", *steps, *(f"  note: {note}" for note in plan.notes)]


def _clear(disk: Imaged, target: DiskFacts) -> Iterator[Action]:
    head = sum(min(e.end, HEAD) - e.start for e in disk.in_use if e.start < HEAD)
    if head:
        text = f"clear {human(head)} of the first {human(HEAD)}, where boot code and table are"
        yield Action(ActionKind.CLEAR, text, target.path, head)


def _write(disk: Imaged, target: DiskFacts, wishes: Wishes) -> Action:
    used = total(disk.in_use)
    what = "compare, and write what differs of" if wishes.delta else "write"
    left = "LOST: told to be free" if wishes.discard else "not touched"
    rest = human(target.size - used)
    text = f"{what} {human(used)} in {len(disk.in_use)} extents; the other {rest} are {left}"
    return Action(ActionKind.WRITE, text, target.path, used)


def _table(disk: Imaged, target: DiskFacts) -> Action:
    match disk.layout.table:
        case TableType.NONE:
            what = f"the first {human(HEAD)}"
        case TableType.MBR:
            what = "boot code and MBR partition table"
        case _:
            what = f"boot code and GPT, its backup at the disk's end ({exactly(target.size)})"
            if target.sector_size != disk.layout.sector_size:
                what += f", made anew in sectors of {target.sector_size} bytes"
    return Action(ActionKind.TABLE, f"write {what}, last of all", target.path, HEAD)


def _verify(disk: Imaged, target: DiskFacts) -> Action:
    used = total(disk.in_use)
    text = f"read {human(used)} back from the disk and prove them"
    return Action(ActionKind.VERIFY, text, target.path, used)


def _growths(
    disks: Sequence[Imaged], targets: Sequence[DiskFacts], wishes: Wishes
) -> tuple[tuple[int, Growth], ...] | Fit:
    """The growths wished for, or every reason against one."""
    found: list[tuple[int, Growth]] = []
    against: list[Reason] = []
    for number, partition in wishes.grow:
        if number >= len(disks):
            against.append(
                Reason(ReasonCode.GROW, f"the image has no disk {number} to grow a partition of")
            )
            continue
        verdict = growth(
            disks[number].layout, partition, targets[number].size, targets[number].sector_size
        )
        if isinstance(verdict, str):
            against.append(Reason(ReasonCode.GROW, f"{targets[number].path}: {verdict}"))
        else:
            found.append((number, verdict))
    return Fit(tuple(against)) if against else tuple(found)


def _conversions(
    disks: Sequence[Imaged], targets: Sequence[DiskFacts]
) -> tuple[tuple[int, Conversion], ...]:
    """What changes on the disks whose sectors are not the image's; that it is sound was found before."""
    verdicts = (
        (number, conversion(disk.layout, target.sector_size))
        for number, (disk, target) in enumerate(zip(disks, targets, strict=True))
        if disk.layout.sector_size != target.sector_size
    )
    return tuple((number, v) for number, v in verdicts if isinstance(v, Conversion))


def _convert(target: DiskFacts, change: Conversion) -> Iterator[Action]:
    for partition, rework in change.reworks:
        if rework is Rework.FAT:
            bits = fat_bits(partition.length, change.new)
            text = f"make partition {partition.number} anew as FAT{bits}, with the same files"
            yield Action(ActionKind.CONVERT, text, target.path, partition.length)
        else:
            text = f"write the boot sectors of partition {partition.number} (NTFS) anew"
            yield Action(ActionKind.CONVERT, text, target.path, 2 * change.new)


def _grow(target: DiskFacts, grown: Growth) -> Action:
    sizes = f"from {exactly(grown.before.length)} to {exactly(grown.after.length)}"
    text = f"grow partition {grown.number} {sizes}: table, then {grown.tool}"
    return Action(ActionKind.GROW, text, target.path, grown.after.length - grown.before.length)


def _notes(disk: Imaged, target: DiskFacts) -> Iterator[str]:
    layout = disk.layout
    more = target.size - layout.size
    if more > 0:
        yield f"{target.path} is {human(more)} larger than the imaged disk: that stays free behind it"
    if more < 0:
        yield f"{target.path} is {human(-more)} smaller than the imaged disk; all partitions end in time"
    limit = MBR_SECTORS * target.sector_size
    if layout.table is TableType.MBR and target.size > limit:
        yield f"{target.path}: an MBR partition table cannot name what lies behind {human(limit)}"
    if target.removable:
        yield f"{target.path} is removable"
