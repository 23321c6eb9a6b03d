"""The blocks of which a chunk was not the image's, and what is done about them.

A chunk whose hash fails does not say which of its symbols is wrong, and a repair spreads one wrong
symbol over the lost rows of its stripe. So the block is set aside: nothing of it is delivered or
repaired until the server has told the digests of its symbols (:mod:`castcore.cast.vetting`). Then the
wrong ones are dropped and come again by multicast, for the whole group at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Answers awaited at the same time: a client is not to keep the server busy with its suspicions.
ASKS_MAX = 2
# The server could not tell so often: the chunks that were refused are fetched instead.
TRIES_MAX = 3
TRY_PAUSE = 1.0


@dataclass
class _Suspect:
    """One block: ``settled`` once its symbols were vetted, or cannot be."""

    asked: bool = False
    settled: bool = False
    tries: int = 0
    after: float = 0.0


class Suspects:
    """Which blocks are set aside, and when to ask for the digests of their symbols."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Suspect] = {}

    def refused(self, block: int) -> bool:
        """A chunk of ``block`` was refused; whether vetting its symbols can help.

        It cannot when that was done before: then it is not the symbols' fault.
        """
        return not self._blocks.setdefault(block, _Suspect()).settled

    def aside(self, block: int) -> bool:
        """Whether ``block`` waits for the digests of its symbols."""
        found = self._blocks.get(block)
        return found is not None and not found.settled

    def ask(self, now: float, quiet: Callable[[int], bool]) -> list[int]:
        """The blocks to ask about now; only a ``quiet`` one, of which no worker reads or writes."""
        waiting = [(b, s) for b, s in self._blocks.items() if not s.settled]
        room = ASKS_MAX - sum(s.asked for _, s in waiting)
        chosen: list[int] = []
        for block, suspect in waiting:
            if room > len(chosen) and not suspect.asked and now >= suspect.after and quiet(block):
                suspect.asked = True
                chosen.append(block)
        return chosen

    def vetted(self, block: int) -> None:
        """The wrong symbols of ``block`` are known, and dropped."""
        self._blocks[block].settled = True

    def unanswered(self, now: float, block: int) -> bool:
        """The server could not tell the digests of ``block``; False when it will not be asked again."""
        suspect = self._blocks[block]
        suspect.asked, suspect.after = False, now + TRY_PAUSE
        suspect.tries += 1
        suspect.settled = suspect.tries >= TRIES_MAX
        return not suspect.settled

    def release(self, block: int) -> None:
        """``block`` is no longer held."""
        self._blocks.pop(block, None)
