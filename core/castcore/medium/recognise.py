"""Whether a disk is a medium of ours, by its partition table alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from castcore.disk import Partition
from castcore.medium.layout import BIOS_BOOT, EFI_SYSTEM, LEDGER_TYPE, MediumKind, Role

_TYPES = {Role.BIOS: BIOS_BOOT, Role.BOOT: EFI_SYSTEM, Role.LEDGER: LEDGER_TYPE}


@dataclass(frozen=True, slots=True)
class MediumParts:
    """The partitions of a deploy medium; their contents are not looked at."""

    bios: Partition
    boot: Partition
    ledger: Partition
    data: Partition


def recognise(partitions: Iterable[Partition]) -> MediumParts | None:
    """The parts of a deploy medium; None when ``partitions`` are not those of one."""
    found = _by_role(partitions)
    if set(found) != set(Role):
        return None
    return MediumParts(found[Role.BIOS], found[Role.BOOT], found[Role.LEDGER], found[Role.DATA])


def medium_kind(partitions: Iterable[Partition]) -> MediumKind | None:
    """What medium of ours has these ``partitions``; None for any other disk."""
    match set(_by_role(partitions)):
        case roles if roles == set(Role):
            return MediumKind.DEPLOY
        case roles if roles == {Role.BIOS, Role.BOOT}:
            return MediumKind.CLIENT
        case _:
            return None


def _by_role(partitions: Iterable[Partition]) -> dict[Role, Partition]:
    """The partitions by role; none when two have one role, for then nobody knows which is meant."""
    found: dict[Role, Partition] = {}
    for partition in partitions:
        role = _role(partition)
        if role in found:
            return {}
        if role is not None:
            found[role] = partition
    return found


def _role(partition: Partition) -> Role | None:
    if partition.name not in set(Role):
        return None
    role = Role(partition.name)
    return role if partition.type.lower() == _TYPES.get(role, partition.type.lower()) else None
