"""What draws lots: ``random.Random`` is one. Pure code is given it, and so can be told the outcome."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Lots(Protocol):
    """Draws without favour."""

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Put ``x`` in another order, in place."""
        ...

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """``k`` of ``population``, each at most once, in any order."""
        ...
