"""What a restore will do, as a value: shown before it is done, and all there is of a dry run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from castcore.disk.extent import total
from castcore.disk.fit import Fit, Imaged, fit_all
from castcore.disk.layout import DiskFacts, TableType
from castcore.units import MIB, exactly, human

# A disk's first chunk: it is written last (castcore.image, "Restoring").
HEAD = MIB
# The most an MBR can name: 2^32 sectors.
MBR_SECTORS = 1 << 32


class ActionKind(StrEnum):
    """What one step of a plan does."""

    CHECK = "check"
    CLEAR = "clear"
    WRITE = "write"
    TABLE = "table"
    VERIFY = "verify"


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
    """What the operator asked for: ``check`` the image first, ``verify`` the disks afterwards."""

    check: bool = True
    verify: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in their order, the disks they change, and what the operator should know."""

    image: str
    targets: tuple[DiskFacts, ...]
    actions: tuple[Action, ...]
    notes: tuple[str, ...] = ()


def plan_restore(
    name: str, disks: Sequence[Imaged], targets: Sequence[DiskFacts], wishes: Wishes
) -> Plan | Fit:
    """How the image ``name`` of ``disks`` gets on ``targets``, or every reason why it cannot."""
    verdict = fit_all(disks, targets)
    if not verdict.ok:
        return verdict
    pairs = list(zip(disks, targets, strict=True))
    actions: list[Action] = []
    if wishes.check:
        used = sum(total(d.in_use) for d in disks)
        actions.append(Action(ActionKind.CHECK, f"prove every chunk of {name}", size=used))
    actions += [action for disk, target in pairs for action in _clear(disk, target)]
    actions += [_write(disk, target) for disk, target in pairs]
    actions += [_table(disk, target) for disk, target in pairs]
    if wishes.verify:
        actions += [_verify(disk, target) for disk, target in pairs]
    notes = tuple(note for disk, target in pairs for note in _notes(disk, target))
    return Plan(name, tuple(targets), tuple(actions), notes)


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


def _write(disk: Imaged, target: DiskFacts) -> Action:
    used = total(disk.in_use)
    rest = human(target.size - used)
    text = f"write {human(used)} in {len(disk.in_use)} extents; the other {rest} are not touched"
    return Action(ActionKind.WRITE, text, target.path, used)


def _table(disk: Imaged, target: DiskFacts) -> Action:
    match disk.layout.table:
        case TableType.NONE:
            what = f"the first {human(HEAD)}"
        case TableType.MBR:
            what = "boot code and MBR partition table"
        case _:
            what = f"boot code and GPT, its backup at the disk's end ({exactly(target.size)})"
    return Action(ActionKind.TABLE, f"write {what}, last of all", target.path, HEAD)


def _verify(disk: Imaged, target: DiskFacts) -> Action:
    used = total(disk.in_use)
    text = f"read {human(used)} back from the disk and prove them"
    return Action(ActionKind.VERIFY, text, target.path, used)


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
