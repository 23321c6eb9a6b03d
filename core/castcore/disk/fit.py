"""Does an image of a disk go on that disk? Every reason against it, with both figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from castcore.disk.extent import Extents
from castcore.disk.gpt import USUAL_ENTRY_BYTES
from castcore.disk.layout import DiskFacts, DiskLayout, TableType
from castcore.units import exactly, round_up


class ReasonCode(StrEnum):
    """Why a disk is refused."""

    SMALLER = "smaller"
    SECTOR_SIZE = "sector-size"
    READ_ONLY = "read-only"
    IN_USE = "in-use"
    REMOVABLE = "removable"
    COUNT = "count"


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


def needed_size(layout: DiskLayout, in_use: Extents) -> int:
    """The bytes a target must have at least.

    That is the end of the last byte in use or of the last partition, whichever is later, in whole
    sectors, and with a GPT the room for its backup (128 entries and a header) behind it.
    """
    last = max([e.end for e in in_use] + [p.extent.end for p in layout.partitions], default=0)
    needed = round_up(last, layout.sector_size)
    if layout.table is TableType.GPT:
        needed += round_up(USUAL_ENTRY_BYTES, layout.sector_size) + layout.sector_size
    # A disk of the source's size is always enough: its own backup may be shorter than the usual one.
    return max(last, min(needed, layout.size))


def fit(layout: DiskLayout, in_use: Extents, target: DiskFacts) -> Fit:
    """Whether an image of ``layout`` with ``in_use`` may be restored to ``target``."""
    reasons = []
    needed = needed_size(layout, in_use)
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
        reasons.append(Reason(ReasonCode.SECTOR_SIZE, text))
    return Fit((*reasons, *unwritable(target)))


def unwritable(target: DiskFacts) -> Iterator[Reason]:
    """What keeps anything at all from being written to ``target``."""
    if target.read_only:
        yield Reason(ReasonCode.READ_ONLY, f"{target.path} is write-protected")
    if target.held_by:
        yield Reason(ReasonCode.IN_USE, f"{target.path} is in use: {target.held_by}")
