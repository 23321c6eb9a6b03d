"""Which disk of a machine a cast may overwrite when nobody named one: the only candidate, or none."""

from __future__ import annotations

from collections.abc import Iterable

from castcore.disk.fit import Fit, Reason, ReasonCode, unwritable
from castcore.disk.layout import DiskFacts
from castcore.errors import Refused
from castcore.units import human


def unasked(facts: DiskFacts) -> Fit:
    """Whether ``facts`` may be overwritten without having been named: built in, writable and free."""
    reasons = list(unwritable(facts))
    if facts.removable:
        reasons.append(Reason(ReasonCode.REMOVABLE, f"{facts.path} is removable"))
    return Fit(tuple(reasons))


def choose_target(facts: Iterable[DiskFacts]) -> DiskFacts:
    """The one disk that may be overwritten unasked.

    Raises Refused naming every candidate when there are several, or every disk and what speaks
    against it when there is none.
    """
    seen = tuple(facts)
    candidates = [f for f in seen if unasked(f).ok]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = ", ".join(f"{f.path} ({f.model or f.stable_id}, {human(f.size)})" for f in candidates)
        raise Refused(
            f"{len(candidates)} disks could be the target, need 1: {names}", hint="name the disk"
        )
    against = "; ".join(reason.text for f in seen for reason in unasked(f).reasons)
    raise Refused(
        f"none of the machine's {len(seen)} disks can be the target{': ' + against if against else ''}",
        hint="connect a disk, or name the disk if one of these is meant",
    )
