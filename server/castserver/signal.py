"""A wake-up from threads to coroutines: fired anywhere, awaited by any number of requests."""

from __future__ import annotations

import asyncio
import threading


class Signal:
    """Counts how often it was fired, so that nobody misses a firing between looking and waiting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def count(self) -> int:
        """How often it was fired so far."""
        return self._count

    def fire(self) -> None:
        """Wake everybody who waits; from any thread."""
        with self._lock:
            self._count += 1
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def wait(self, seen: int, seconds: float) -> bool:
        """Wait until it was fired more than ``seen`` times, at most ``seconds``; whether it was."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._count > seen:
                return True
            self._waiting.add(entry)
        try:
            async with asyncio.timeout(seconds):
                await entry[1].wait()
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._waiting.discard(entry)
        return True
