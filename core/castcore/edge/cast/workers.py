"""The threads behind a receiver: they check and write chunks, repair stripes, fetch, join again.

Each job's result comes back as a function to call in the receiver's own thread, so that the core is
only ever touched there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue

Result = Callable[[float], None]
Job = Callable[[], Result]

WRITERS_MAX = 4
FETCHERS = 4


class Workers:
    """Writers and a repairer for local work; fetchers and a joiner for what waits for the network."""

    def __init__(self) -> None:
        writers = max(1, min(os.cpu_count() or 1, WRITERS_MAX))
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="cast-write")
        self._repairer = ThreadPoolExecutor(1, thread_name_prefix="cast-repair")
        self._fetchers = ThreadPoolExecutor(FETCHERS, thread_name_prefix="cast-fetch")
        self._joiner = ThreadPoolExecutor(1, thread_name_prefix="cast-join")
        self._done: SimpleQueue[Future[Result]] = SimpleQueue()
        self.stopping = threading.Event()

    def write(self, job: Job) -> None:
        """A chunk: hash, decompress, write."""
        self._submit(self._writers, job)

    def repair(self, job: Job) -> None:
        """A stripe; it does not queue behind all the chunks that are ready to be written."""
        self._submit(self._repairer, job)

    def fetch(self, job: Job) -> None:
        """Work that waits for the server."""
        self._submit(self._fetchers, job)

    def join(self, job: Job) -> None:
        """Joining again: may wait for minutes."""
        self._submit(self._joiner, job)

    def results(self) -> Iterator[Result]:
        """What was done since the last call. Raises what a job raised."""
        while True:
            try:
                done = self._done.get_nowait()
            except Empty:
                return
            if not done.cancelled():
                yield done.result()

    def close(self) -> None:
        """Let running jobs end, drop those that wait."""
        self.stopping.set()
        for pool in (self._writers, self._repairer, self._fetchers, self._joiner):
            pool.shutdown(cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, job: Job) -> None:
        pool.submit(job).add_done_callback(self._done.put)
