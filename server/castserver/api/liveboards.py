"""The live pages that consoles show, drawn once for all consoles that show the same one."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio.to_thread

from castserver.api.board import Board, Versions
from castserver.signal import Signal

# A page is not drawn anew more often than this, however many look at it, ...
PAUSE = 1.0
# ... and after so long without a change: what is said of a machine changes by silence, too.
AGING = 10.0
# One of five hundred machines takes a processor for more than this, in seconds: so many times that
# passes before the next, be it for somebody who opens the page, whose stream soon brings what is new.
DEAR = 0.05
REST = 10
LONGEST_REST = 2.0
# Pages remembered beside those that somebody's stream holds.
MOST_BOARDS = 16

Draw = Callable[[], Board]


@dataclass
class LiveBoard:
    """One page in one language. ``count``: the firings of the server's signal that it shows; ``cost``:
    the processor's seconds that the last drawing took, of the second on: the first reads templates.
    """

    draw: Draw
    versions: Versions = field(default_factory=Versions)
    count: int = -1
    drawn: float = float("-inf")
    cost: float = 0.0

    @property
    def rest(self) -> float:
        """Seconds until it may be drawn anew."""
        return min(REST * self.cost, LONGEST_REST) if self.cost > DEAR else 0.0

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class LiveBoards:
    """All of one server; for its web server's loop alone. ``used``: the processor's seconds that the
    calling thread has had.
    """

    def __init__(
        self,
        changed: Signal,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.thread_time,
    ) -> None:
        self.changed = changed
        self._clock, self._used = clock, used
        self._boards: OrderedDict[tuple[str, ...], LiveBoard] = OrderedDict()

    def at(self, key: tuple[str, ...], draw: Draw) -> LiveBoard:
        """The page called ``key``, which ``draw`` makes, not drawn yet or as it was last."""
        board = self._boards.setdefault(key, LiveBoard(draw))
        self._boards.move_to_end(key)
        while len(self._boards) > MOST_BOARDS:
            self._boards.popitem(last=False)
        return board

    async def look(self, board: LiveBoard, pause: float = 0.0) -> Versions:
        """``board`` as it stands: drawn anew if something changed since, unless it was drawn less than
        ``pause`` seconds ago, or rests.
        """
        async with board.lock:
            now = self._clock()
            old = board.count != self.changed.count or now - board.drawn > AGING
            if old and now - board.drawn >= max(pause, board.rest):
                first, count = board.count < 0, self.changed.count
                made, cost = await anyio.to_thread.run_sync(self._drawn, board.draw)
                board.versions.take(made)
                board.count, board.drawn, board.cost = count, now, 0.0 if first else cost
            return board.versions

    def _drawn(self, draw: Draw) -> tuple[Board, float]:
        began = self._used()
        return draw(), self._used() - began
