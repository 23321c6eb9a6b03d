"""Does an image of a disk go on that disk? Every reason against it, with both figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from castcore.disk.extent import Extents
from castcore.disk.gpt import USUAL_ENTRY_BYTES
from castcore.disk.identity import firmware_raid, same_disk
from castcore.disk.layout import DiskFacts, DiskLayout, TableType
from castcore.disk.sectors import Conversion, conversion
from castcore.errors import DoesNotFit, FleetcastError, InUse, Refused
from castcore.units import exactly, round_up


class ReasonCode(StrEnum):
    """Why a disk is refused."""

    SMALLER = "smaller"
    SECTOR_SIZE = "sector-size"
    TABLE_TYPE = "table-type"
    READ_ONLY = "read-only"
    IN_USE = "in-use"
    REMOVABLE = "removable"
    BOOT_MEDIUM = "boot-medium"
    RAID_MEMBER = "raid-member"
    EXTRA_PATH = "extra-path"
    COUNT = "count"
    TWICE = "twice"
    GROW = "grow"
    UNKNOWN_PARTITION = "unknown-partition"
    PARTITION_TYPE = "partition-type"
    PARTIAL = "partial"


# Reasons that have nothing to do with the image, and what to do about each.
_HANDS_OFF = {
    ReasonCode.IN_USE: "unmount or release it first, or use another disk",
    ReasonCode.READ_ONLY: "unlock it, or use another disk",
    ReasonCode.BOOT_MEDIUM: "use another disk",
    ReasonCode.RAID_MEMBER: "name the array, or take the disk out of it in the firmware's setup",
    ReasonCode.EXTRA_PATH: "name the first path, or the disk by its wwn:",
    ReasonCode.TWICE: "name another disk for each disk of the image",
    ReasonCode.REMOVABLE: "name it, if it is meant",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One refusal; ``text`` is a sentence for a person that holds both figures."""

    code: ReasonCode
    text: str


@dataclass(frozen=True, slots=True)
class Fit:
    """The verdict on one disk: every reason against it."""

    reasons: tuple[Reason, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the disk."""
        return not self.reasons


class Imaged(Protocol):
    """A disk as an image holds it; :class:`castcore.image.ImageDisk` is one."""

    @property
    def layout(self) -> DiskLayout:
        """The disk as it was."""

    @property
    def in_use(self) -> Extents:
        """The bytes that a restore brings back."""


def needed_size(layout: DiskLayout, in_use: Extents, sector_size: int = 0) -> int:
    """The bytes a target with sectors of ``sector_size`` bytes (0: the image's) must have at least.

    That is the end of the last byte in use or of the last partition, whichever is later, in whole
    sectors, and with a GPT the room for its backup (128 entries and a header) behind it.
    """
    last = max([e.end for e in in_use] + [p.extent.end for p in layout.partitions], default=0)
    sector = sector_size or layout.sector_size
    needed = round_up(last, sector)
    if layout.table is TableType.GPT:
        needed += round_up(USUAL_ENTRY_BYTES, sector) + sector
    if sector != layout.sector_size:
        return needed
    # A disk of the source's size is always enough: its own backup may be shorter than the usual one.
    return max(last, min(needed, layout.size))


def fit(layout: DiskLayout, in_use: Extents, target: DiskFacts, *, convert: bool = False) -> Fit:
    """Whether an image of ``layout`` with ``in_use`` may be restored to ``target``.

    ``convert``: other sectors are taken where a conversion is sound (:mod:`castcore.disk.sectors`).
    """
    reasons = []
    needed = needed_size(layout, in_use, target.sector_size)
    if target.size < needed:
        text = (
            f"{target.path} is too small: the image needs {exactly(needed)},"
            f" the disk has {exactly(target.size)}"
        )
        reasons.append(Reason(ReasonCode.SMALLER, text))
    if target.sector_size != layout.sector_size:
        text = (
            f"{target.path} has sectors of {target.sector_size} bytes,"
            f" the image is of a disk with sectors of {layout.sector_size} bytes"
        )
        verdict = conversion(layout, target.sector_size) if convert else ()
        if not isinstance(verdict, Conversion):
            because = f", and cannot be converted: {'; '.join(verdict)}" if verdict else ""
            reasons.append(Reason(ReasonCode.SECTOR_SIZE, text + because))
    if layout.left_out:
        without = ", ".join(map(str, layout.left_out))
        text = f"the image was captured without partition {without} of its disk"
        reasons.append(Reason(ReasonCode.PARTIAL, text))
    return Fit((*reasons, *unwritable(target)))


def fit_all(disks: Sequence[Imaged], targets: Sequence[DiskFacts], *, convert: bool = False) -> Fit:
    """Whether an image of ``disks`` may be restored to ``targets``, one for each in their order."""
    if len(disks) != len(targets):
        text = f"the image holds {len(disks)} disks, {len(targets)} targets were given"
        return Fit((Reason(ReasonCode.COUNT, text),))
    each = (fit(d.layout, d.in_use, t, convert=convert) for d, t in zip(disks, targets, strict=True))
    return Fit((*(r for verdict in each for r in verdict.reasons), *_twice(targets)))


def refusal(name: str, verdict: Fit) -> FleetcastError:
    """The error that says why the image ``name`` does not go on its targets, with every reason.

    InUse or Refused when only that speaks against them, else DoesNotFit.
    """
    text = "; ".join(reason.text for reason in verdict.reasons)
    codes = {reason.code for reason in verdict.reasons}
    if codes == {ReasonCode.IN_USE}:
        return InUse(text, hint="unmount or release it first, or use another disk")
    if codes <= _HANDS_OFF.keys():
        return Refused(text, hint=_HANDS_OFF[verdict.reasons[0].code])
    if codes == {ReasonCode.COUNT}:
        return DoesNotFit(f"{name}: {text}", hint="name one target for each disk of the image")
    if codes == {ReasonCode.PARTIAL}:
        return DoesNotFit(
            f"{name}: {text}", hint="restore the partition that it holds, to one that is there"
        )
    smaller = "use a larger disk, or make an image that fits: `fleetcast image shrink`"
    return DoesNotFit(
        f"the image {name} does not go there: {text}",
        hint=smaller
        if codes == {ReasonCode.SMALLER}
        else "use another disk, or an image of one like it",
    )


def unwritable(target: DiskFacts) -> Iterator[Reason]:
    """What keeps anything at all from being written to ``target``."""
    if target.read_only:
        yield Reason(ReasonCode.READ_ONLY, f"{target.path} is write-protected")
    raid = firmware_raid(target)
    if target.held_by and not raid:  # the array holds it: one reason is enough
        yield Reason(ReasonCode.IN_USE, f"{target.path} is in use: {target.held_by}")
    if target.boot_medium:
        yield Reason(ReasonCode.BOOT_MEDIUM, f"{target.path} is what this system was started from")
    if raid:
        array = f", of {target.array}" if target.array else ""
        text = (
            f"{target.path} is a member of a firmware RAID ({raid}){array}:"
            " writing to it alone would break the array"
        )
        yield Reason(ReasonCode.RAID_MEMBER, text)
    if target.first_path:
        text = f"{target.path} is a further path to the disk {target.first_path}"
        yield Reason(ReasonCode.EXTRA_PATH, text)


def _twice(targets: Sequence[DiskFacts]) -> Iterator[Reason]:
    for number, target in enumerate(targets):
        for earlier, other in enumerate(targets[:number]):
            if same_disk(target, other):
                text = f"{target.path} is named for disk {earlier} of the image and for disk {number}"
                yield Reason(ReasonCode.TWICE, text)
