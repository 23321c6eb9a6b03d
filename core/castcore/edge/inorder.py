"""Work done by several threads, its results taken in the order of the items, memory bounded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_THREADS = 16
# How many more threads than processors keep a disk busy while the others work.
WAITING = 2
# Enough that no thread idles while the oldest result is awaited; each may hold two chunks.
AHEAD_PER_THREAD = 4


def thread_count() -> int:
    """The threads to use on this machine: one for each processor we may run on, at least two."""
    return max(2, min(len(os.sched_getaffinity(0)), MAX_THREADS))


def waiting_threads() -> int:
    """The threads for work that also waits for a disk, past the page cache: some wait, the rest work."""
    return thread_count() + WAITING


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int = 0
) -> Generator[Result, None, None]:
    """``work(item)`` for each item, in the items' order, by ``threads`` threads (0: as many as fit).

    The first exception of ``work`` is raised in its place, and work not yet begun is dropped. Close
    the generator (``contextlib.closing``) so that an interrupted caller leaves no thread behind.
    """
    count = threads or thread_count()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="chunk") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= count * AHEAD_PER_THREAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
