"""What a look at the network comes to: one finding for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """OK: as it should be. WARNING: something will be slow, or fail at times. PROBLEM: it will fail."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """About one ``subject`` (an interface's name, or "host"), by one ``check``: ``what`` was found.

    ``do``: what to do about it, "" where nothing is to be done.
    """

    level: Level
    subject: str
    check: str
    what: str
    do: str = ""
