"""Which disks of a machine take an image when nobody, or a rule file, says so; never by their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from castcore.disk.fit import Fit, Reason, ReasonCode, unwritable
from castcore.disk.identity import described
from castcore.disk.layout import DiskFacts
from castcore.disk.rules import Rules, chosen_by
from castcore.errors import Refused


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
        names = ", ".join(described(f) for f in candidates)
        raise Refused(
            f"{len(candidates)} disks could be the target, need 1: {names}", hint="name the disk"
        )
    raise _no_candidate(seen)


def choose_targets(count: int, facts: Iterable[DiskFacts], rules: Rules) -> list[DiskFacts]:
    """The disks that take the ``count`` disks of an image, in their order: by ``rules``, () for none.

    Without rules an image of several disks is refused: nothing tells which is which. Raises Refused.
    """
    seen = tuple(facts)
    candidates = [f for f in seen if unasked(f).ok]
    if rules and not candidates:
        raise _no_candidate(seen)
    if rules:
        return [chosen_by(rules, number, candidates) for number in range(count)]
    if count == 1:
        return [choose_target(seen)]
    names = ", ".join(described(f) for f in candidates) or "none"
    raise Refused(
        f"the image holds {count} disks, and nothing says which disk takes which; candidates: {names}",
        hint="name a disk for each, or write rules",
    )


def _no_candidate(seen: Sequence[DiskFacts]) -> Refused:
    against = "; ".join(reason.text for f in seen for reason in unasked(f).reasons)
    return Refused(
        f"none of the machine's {len(seen)} disks can be the target{': ' + against if against else ''}",
        hint="connect a disk, or name the disk if one of these is meant",
    )
