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
# One of five hundred machines takes a tenth of a second: so many times that passes before the next, be
# it for somebody who opens the page, whose stream soon brings what changed since; never more seconds.
REST = 10
LONGEST_REST = 2.0
# Pages remembered beside those that somebody's stream holds.
MOST_BOARDS = 16

Draw = Callable[[], Board]


@dataclass
class LiveBoard:
    """One page in one language. ``count``: the firings of the server's signal that it shows; ``took``:
    how long it was drawn, in seconds.
    """

    draw: Draw
    versions: Versions = field(default_factory=Versions)
    count: int = -1
    drawn: float = float("-inf")
    took: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class LiveBoards:
    """All of one server; for its web server's loop alone."""

    def __init__(self, changed: Signal, clock: Callable[[], float] = time.monotonic) -> None:
        self.changed = changed
        self._clock = clock
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
        ``pause`` seconds ago, or what `REST` gives.
        """
        async with board.lock:
            now = self._clock()
            old = board.count != self.changed.count or now - board.drawn > AGING
            if old and now - board.drawn >= max(pause, min(REST * board.took, LONGEST_REST)):
                count = self.changed.count
                board.versions.take(await anyio.to_thread.run_sync(board.draw))
                board.count, board.drawn, board.took = count, now, self._clock() - now
            return board.versions
