"""What long work tells about itself: frozen values given to a callback, rendered elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` bytes of the step named ``step`` ("read", "write", "verify"...).

    ``total`` is 0 while it is not known. ``detail`` is one short line for a person.
    """

    step: str
    done: int
    total: int
    detail: str = ""


ProgressCallback = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """A progress callback for callers that want none."""
