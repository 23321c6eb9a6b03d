"""Which machines a cast would erase, and why it cannot erase others: judged before any is ordered. Pure.

The judgement is the client's own (castcore.disk), by the disks that it told when it registered. The
client judges anew before it writes: it may have been told to write to certain disks, and disks change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from castcore.disk import (
    DiskFacts,
    Fit,
    Imaged,
    Rules,
    Wishes,
    choose_targets,
    plan_restore,
    refusal,
)
from castcore.errors import FleetcastError


class Verdict(StrEnum):
    """What would become of a machine in a cast."""

    ERASED = "erased"
    MISFIT = "does not fit"
    BUSY = "busy"
    ABSENT = "not here"


@dataclass(frozen=True, slots=True)
class Outlook:
    """One machine: the ``disks`` that it would lose, or the ``reason`` why it would not now.

    One that is busy or absent has both: what is true of it when it is free and here. Of one that was
    never here nobody knows the disks.
    """

    verdict: Verdict
    disks: tuple[DiskFacts, ...] = ()
    reason: str = ""

    @property
    def fits(self) -> bool:
        """Whether it takes the image, now or when it is free and here."""
        return bool(self.disks)


def outlook(
    name: str,
    image: Sequence[Imaged],
    disks: Sequence[DiskFacts] | None,
    rules: Rules,
    *,
    hindrance: Outlook,
) -> Outlook:
    """What becomes of a machine with ``disks`` (None: not known) when the image ``name`` is cast to it.

    ``hindrance``: that it is ABSENT or BUSY, or ERASED: nothing is in its way.
    """
    if disks is None:
        return hindrance
    try:
        targets = choose_targets(len(image), disks, rules)
        verdict = plan_restore(name, image, targets, Wishes(check=False, verify=True))
        if isinstance(verdict, Fit):
            raise refusal(name, verdict)
    except FleetcastError as error:
        return Outlook(Verdict.MISFIT, reason=error.what)
    return Outlook(hindrance.verdict, verdict.targets, hindrance.reason)
