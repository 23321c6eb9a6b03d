"""How far each disk of a cast is: the chunks put, summed by the disk they lie on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from castcore.image import Index
from numpy.typing import NDArray

from castclient.model import DiskNow, RateMeter


class DiskShares:
    """The disks at ``paths``, in the image's order; ``done`` says which chunks are there."""

    def __init__(
        self, index: Index, paths: Sequence[str], done: Callable[[], NDArray[np.bool_]]
    ) -> None:
        self._paths, self._done = tuple(paths), done
        self._disk = np.fromiter((r.disk for r in index.records), np.int64, len(index))
        self._stored = np.array(index.stored_lengths(), np.int64)
        self._totals = self._sums(np.ones(len(index), np.bool_))
        self._meters = [RateMeter() for _ in self._paths]

    def at(self, clock: float) -> tuple[DiskNow, ...]:
        """How far they are at ``clock``, in seconds."""
        sums = self._sums(self._done())
        return tuple(
            DiskNow(path, done, total, meter.mark(clock, done))
            for path, done, total, meter in zip(
                self._paths, sums, self._totals, self._meters, strict=True
            )
        )

    def whole(self) -> tuple[DiskNow, ...]:
        """All of them, finished."""
        return tuple(
            DiskNow(path, total, total) for path, total in zip(self._paths, self._totals, strict=True)
        )

    def _sums(self, which: NDArray[np.bool_]) -> list[int]:
        count = len(self._paths)
        sums = np.bincount(self._disk[which], weights=self._stored[which], minlength=count)
        return [int(total) for total in sums[:count]]
