"""Whether a failed cast is tried again by itself, and when. Pure."""

from __future__ import annotations

from collections.abc import Callable

from castcore.errors import DiskFailed, FleetcastError, NetworkFailed, Untrusted

# Seconds before each further try; the last one goes on, half an hour in all: the cast waits as long.
PAUSES = (10, 20, 40, 80, 160, 300)
MOST_TRIES = 10
# A way that was cut, a disk that missed a beat, a chunk that did not arrive as it was written: what was
# written is kept, and the next try begins there. A disk too small stays too small.
_MENDED = (NetworkFailed, DiskFailed, Untrusted)

# What failed (None: the unforeseen) and how many tries there were: seconds until the next, or None.
Retry = Callable[[FleetcastError | None, int], int | None]


def never(error: FleetcastError | None, tries: int) -> int | None:  # noqa: ARG001 - a Retry
    """Leave it at that."""
    return None


def backing_off(error: FleetcastError | None, tries: int) -> int | None:
    """10 s, 20 s, 40 s ... 5 min, for what trying again can mend; None for all else."""
    if not isinstance(error, _MENDED) or tries >= MOST_TRIES:
        return None
    return PAUSES[min(max(tries, 1), len(PAUSES)) - 1]
