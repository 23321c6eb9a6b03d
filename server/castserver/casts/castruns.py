"""The runs of all casts: each opened in a slot that no other has, closed beside everybody's lock.

To stop a sender takes a moment, and who reads a medium that is dead may hang for long. So a cast that
ends only hands its run in, and its slot stays taken until it is closed. All share the interfaces.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from castserver.casts.castrun import CastRun, free_slot
from castserver.casts.legrun import CastOptions, Leg, LegRun, OpenImage
from castserver.casts.rateshares import shares


class CastRuns:
    """Opens and closes them on ``legs``; safe from any thread."""

    def __init__(self, legs: Sequence[Leg]) -> None:
        self._legs = tuple(legs)
        self._lock, self._sharing = threading.Lock(), threading.Lock()
        self._open: list[CastRun] = []
        # To be closed, with whether to abort; and those that somebody closes just now.
        self._ended: list[tuple[CastRun, bool]] = []
        self._closing: list[CastRun] = []

    def open(self, image: OpenImage, options: CastOptions) -> CastRun:
        """A run of ``image``. Raises InUse when every slot is taken."""
        with self._lock:
            taken = [*self._open, *(run for run, _ in self._ended), *self._closing]
            run = CastRun(image, free_slot({run.slot for run in taken}), self._legs, options)
            self._open.append(run)
        self.share()
        return run

    def share(self) -> None:
        """Give each run its share of every interface's rate, by what it can use now."""
        with self._sharing:
            with self._lock:
                runs = list(self._open)
            for number, leg in enumerate(self._legs if runs else ()):
                _share(leg.capacity(), [run.legs[number] for run in runs])

    def end(self, run: CastRun, *, abort: bool) -> None:
        """``run`` is to be closed by the next `close_ended`; ``abort`` tells its clients."""
        with self._lock:
            self._open.remove(run)
            self._ended.append((run, abort))
        run.pause(paused=True)  # until it is closed, others have its share already
        self.share()

    def close_ended(self) -> None:
        """Stop what has ended; to be called without a lock."""
        with self._lock:
            mine, self._ended = self._ended, []
            self._closing += [run for run, _ in mine]
        for run, abort in mine:
            run.close(abort=abort)
            with self._lock:
                self._closing.remove(run)

    def close(self) -> None:
        """Stop all, as the server ends: their clients wait for it to be back."""
        self.close_ended()
        with self._lock:
            left = list(self._open)
        for run in left:
            run.close()


def _share(capacity: float, legs: Sequence[LegRun]) -> None:
    caps = shares(capacity, [leg.wish() for leg in legs])
    # Whoever gets less goes first, so that together they never have more than there is.
    for leg, cap in sorted(zip(legs, caps, strict=True), key=lambda pair: pair[1] - pair[0].cap):
        leg.limit(cap)
