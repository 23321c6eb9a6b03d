"""The runs of all casts: each opened in a slot that no other has, closed beside everybody's lock.

To stop a sender takes a moment, and who reads a medium that is dead may hang for long. So a cast that
ends only hands its run in, a thread of its own closes it, and its slot stays taken until it is. All
share the interfaces.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from castserver.casts.castrun import CastRun, free_slot
from castserver.casts.legrun import CastOptions, Leg, LegRun, OpenImage
from castserver.casts.rateshares import shares

# Longest, in seconds, that a server which ends waits for its runs to be closed.
CLOSE_SECONDS = 10.0

log = logging.getLogger("fleetcast")


class CastRuns:
    """Opens and closes them on ``legs``; safe from any thread."""

    def __init__(self, legs: Sequence[Leg]) -> None:
        self._legs = tuple(legs)
        self._lock, self._sharing = threading.Lock(), threading.Lock()
        self._open: list[CastRun] = []
        self._closing: dict[CastRun, threading.Thread] = {}

    def open(self, image: OpenImage, options: CastOptions) -> CastRun:
        """A run of ``image``. Raises InUse when every slot is taken."""
        with self._lock:
            taken = {run.slot for run in (*self._open, *self._closing)}
            run = CastRun(image, free_slot(taken), self._legs, options)
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
        """Close ``run``, beside whatever else is done; ``abort`` tells its clients."""
        run.pause(paused=True)  # until it is closed, others have its share already
        self._start_closing(run, abort=abort)
        self.share()

    def close(self) -> None:
        """Stop all, as the server ends: their clients wait for it to be back."""
        with self._lock:
            left = list(self._open)
        for run in left:
            self._start_closing(run, abort=False)
        with self._lock:
            closing = list(self._closing.values())
        end = time.monotonic() + CLOSE_SECONDS
        for thread in closing:
            thread.join(max(end - time.monotonic(), 0.0))

    def _start_closing(self, run: CastRun, *, abort: bool) -> None:
        thread = threading.Thread(
            target=self._close, args=(run,), kwargs={"abort": abort}, name="close cast", daemon=True
        )
        with self._lock:
            if run not in self._open:
                return  # the server ends, and has stopped it
            self._open.remove(run)
            self._closing[run] = thread
            thread.start()

    def _close(self, run: CastRun, *, abort: bool) -> None:
        try:
            run.close(abort=abort)
        except Exception:
            log.exception("a cast's sender did not close well")
        with self._lock:
            del self._closing[run]


def _share(capacity: float, legs: Sequence[LegRun]) -> None:
    caps = shares(capacity, [leg.wish() for leg in legs])
    # Whoever gets less goes first, so that together they never have more than there is.
    for leg, cap in sorted(zip(legs, caps, strict=True), key=lambda pair: pair[1] - pair[0].cap):
        leg.limit(cap)
