"""How the rate of one interface is shared by the casts that run on it: max-min fair, and nothing idle.

Pure. Rates are bytes a second of UDP payload, of multicast and unicast together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    """What one cast can use now (``uses``; inf: all there is), and its own cap (``most``)."""

    uses: float = 0.0
    most: float = math.inf


def shares(capacity: float, wishes: Sequence[Wish]) -> list[float]:
    """The most that each cast may send, in the order of ``wishes``; together ``capacity`` at most.

    Everybody gets what he can use, up to an equal share; what that leaves goes to those who can use
    more. What nobody can use now is room to grow, in equal parts; no cast gets more than its own cap.
    """
    used = _level(capacity, [min(w.uses, w.most) for w in wishes])
    room = _level(capacity - sum(used), [w.most - u for w, u in zip(wishes, used, strict=True)])
    return [u + r for u, r in zip(used, room, strict=True)]


def _level(capacity: float, limits: Sequence[float]) -> list[float]:
    """Fill all to the same level, but none beyond its limit, until ``capacity`` is used up."""
    filled, left = [0.0] * len(limits), max(capacity, 0.0)
    order = sorted(range(len(limits)), key=lambda i: limits[i])
    for place, i in enumerate(order):
        filled[i] = min(limits[i], left / (len(order) - place))
        left -= filled[i]
    return filled
