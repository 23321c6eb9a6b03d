"""Drawing lots: a source of chance (a ``random.Random``) that the caller of pure code owns."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Lots(Protocol):
    """A source of chance; the same one, seeded alike, draws alike."""

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """``k`` of ``population``, none twice."""
        ...

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Mix ``x`` in place."""
        ...
