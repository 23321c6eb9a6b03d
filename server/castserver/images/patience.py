"""Calls into a file system that may never answer: a network mount whose server is gone.

Such a call cannot be ended, only left alone. Each runs in a thread of its own, and who asked waits for
it so long and no longer; while one hangs, later ones fail at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from castcore.errors import DiskFailed

T = TypeVar("T")
_HINT = "look at its server and the network; mounted with `soft`, calls end by themselves"


class Patience:
    """With the file system called ``name``. Every call may come from any thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._hanging: set[Future[Any]] = set()

    def do(self, work: Callable[[], T], seconds: float, late: Callable[[T], None] | None = None) -> T:
        """What ``work`` returns or raises; ``late`` gets what it returned when nobody waited any more.

        Raises DiskFailed when it takes longer than ``seconds``, or an earlier call still hangs.
        """
        with self._lock:
            if self._hanging:
                raise DiskFailed(f"{self._name} does not answer", hint=_HINT)
        answer: Future[T] = Future()
        threading.Thread(target=_carry_out, args=(work, answer), name="patience", daemon=True).start()
        try:
            return answer.result(seconds)
        except TimeoutError:
            if answer.done():  # of the work itself, or just in time
                return answer.result()
        self._leave(answer, late)
        raise DiskFailed(f"{self._name} did not answer for {seconds:g} s", hint=_HINT)

    def _leave(self, answer: Future[T], late: Callable[[T], None] | None) -> None:
        def ended(done: Future[T]) -> None:
            with self._lock:
                self._hanging.discard(done)
            if late is not None and done.exception() is None:
                late(done.result())

        with self._lock:
            self._hanging.add(answer)
        answer.add_done_callback(ended)


def _carry_out(work: Callable[[], T], answer: Future[T]) -> None:
    try:
        answer.set_result(work())
    except BaseException as error:  # noqa: BLE001 - who waits gets it, whatever it is
        answer.set_exception(error)
