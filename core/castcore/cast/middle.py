"""The value in the middle. Python's ``statistics`` has it too, and brings exact arithmetic along: a
hundred kilobytes in the boot image, where nothing else needs it.
"""

from __future__ import annotations

from collections.abc import Iterable


def median(values: Iterable[float]) -> float:
    """The middle of ``values``, of an even number the mean of the two. Raises IndexError for none."""
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return (low + high) / 2


def median_low(values: Iterable[float]) -> float:
    """The middle of ``values``, of an even number the lower of the two. Raises IndexError for none."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]
