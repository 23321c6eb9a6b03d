"""Whether a disk may become a boot medium, what is told of it before, and what has to be typed. Pure."""

from __future__ import annotations

import re

from castcore.disk import DiskFacts, Partition, firmware_raid
from castcore.errors import DoesNotFit, FleetcastError, InUse, NotFound, Refused
from castcore.medium import MediumKind, medium_kind
from castcore.units import exactly, human

# Boot code, FAT and what firmware reads count in these; no firmware starts anything from others.
SECTOR = 512
# A disk named so is the one that was meant, wherever it is plugged in.
_BY_NUMBER = re.compile(r"(serial|wwn):.+")
_LOOP = re.compile(r"/dev/loop\d+")
_MEDIA = {
    MediumKind.CLIENT: "a Fleetcast client medium",
    MediumKind.DEPLOY: "a Fleetcast deploy medium",
}


def objection(facts: DiskFacts, name: str, needed: int) -> FleetcastError | None:
    """Why the disk ``facts``, named ``name`` by the operator, is not written; None when it may be.

    ``needed`` are the bytes that it must have.
    """
    path = facts.path
    if facts.boot_medium:
        return Refused(f"{path}: this system was started from it", hint="choose another stick")
    if facts.held_by:
        hint = "unmount it first; the disk of a running system is never written"
        return InUse(f"{path} is in use: {facts.held_by}", hint=hint)
    if firmware_raid(facts) or facts.first_path:
        what = f"a further path to {facts.first_path}" if facts.first_path else "a member of a RAID"
        return Refused(f"{path} is {what}", hint="choose another stick")
    if facts.size == 0:
        return NotFound(f"{path}: there is no medium in it", hint="plug it in again")
    if facts.read_only:
        return Refused(f"{path} is write-protected", hint="move its switch, or choose another stick")
    if not may_be_meant(facts, name):
        return Refused(
            f"{path} ({facts.model or 'no model'}) is not removable: it may be a disk of this machine",
            hint=_name_it(facts),
        )
    if facts.sector_size != SECTOR:
        return Refused(
            f"{path} has sectors of {facts.sector_size} bytes: no firmware starts from it",
            hint="choose another stick",
        )
    if facts.size < needed:
        return DoesNotFit(
            f"{path} has {exactly(facts.size)}, {exactly(needed)} are needed", hint="use a larger stick"
        )
    return None


def may_be_meant(facts: DiskFacts, name: str) -> bool:
    """Whether a slip of the finger is out of the question: a stick, a file, or named by its number."""
    return (
        facts.removable
        or facts.bus == "file"
        or is_loop(facts)
        or _BY_NUMBER.fullmatch(name) is not None
    )


def is_loop(facts: DiskFacts) -> bool:
    """Whether it is a loop device: a file that somebody attached."""
    return _LOOP.fullmatch(facts.path) is not None


def answer(facts: DiskFacts) -> str:
    """What has to be typed to have the disk written: its serial number, of one without its path."""
    return facts.serial or facts.path


def described(facts: DiskFacts) -> tuple[str, ...]:
    """What the disk is and what is on it, a line each."""
    model = facts.model or "model unknown"
    kind = " ".join(w for w in (facts.bus.upper(), "removable" if facts.removable else "fixed") if w)
    serial = f"serial {facts.serial}" if facts.serial else "no serial number"
    lines = [f"{facts.path}: {model}, {serial}, {human(facts.size)}, {kind}"]
    if facts.layout is None:
        return (*lines, "  what is on it cannot be read")
    medium = medium_kind(facts.layout.partitions)
    lines += [f"  {_MEDIA[medium]}"] if medium is not None else []
    lines += [_partition(p) for p in facts.layout.partitions]
    return (*lines, *(["  nothing that is known"] if len(lines) == 1 else []))


def _partition(partition: Partition) -> str:
    where = f"partition {partition.number}" if partition.number else "the whole disk"
    names = [n for n in (partition.name, partition.label) if n]
    called = "".join(f" {n!r}" for n in dict.fromkeys(names))
    content = partition.fstype or "unknown content"
    return f"  {where}: {human(partition.length)}, {content}{called}"


def _name_it(facts: DiskFacts) -> str:
    if facts.serial:
        return f"if it is meant, name it by its number: --write serial:{facts.serial}"
    return "choose another stick: this one has no serial number to name it by"
