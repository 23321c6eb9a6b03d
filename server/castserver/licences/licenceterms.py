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


@dataclass(frozen=True)
class LicenceEvent:
    """Something that happened to a licence, where, and to whom; ``left`` counts the medium's licences.

    ``word``: imported, reserved, released, consumed, or unpaid (a proven disk for which none was left).
    """

    word: str
    medium: str
    left: int
    cast: str = ""
    machine: str = ""
    detail: str = ""
