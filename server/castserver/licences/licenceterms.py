"""What the operator decided about licences, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class WithoutLicence(StrEnum):
    """What becomes of casts of an image for which there is no licence file at all."""

    FREE = "free"
    REFUSE = "refuse"


@dataclass(frozen=True)
class LicenceTerms:
    """What the operator decided: ``issuers`` are the keys (hex) whose licences count."""

    without: WithoutLicence = WithoutLicence.FREE
    issuers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LicencesLeft:
    """To how many machines more an image can be cast; ``count`` None: to any number, it takes none.

    ``problem``: why there is none, "" where that is not known or there are some.
    """

    count: int | None
    problem: str = ""

    def short(self, machines: int) -> int:
        """How many of ``machines`` get none."""
        return 0 if self.count is None else max(machines - self.count, 0)


@dataclass(frozen=True)
class LicenceEvent:
    """Something that happened to a licence, where, and to whom; ``left`` counts those of the medium that
    could still be taken.

    ``word``: imported, reserved, released, consumed, or unpaid (a proven disk for which none was left).
    """

    word: str
    medium: str
    left: int
    cast: str = ""
    machine: str = ""
    detail: str = ""
