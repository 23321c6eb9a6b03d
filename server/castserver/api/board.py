"""A live page as blocks of HTML, and what of it has changed since somebody saw it last.

A block is one element with an id. Blocks stand in lists, which may stand in blocks: at the mark
``<!--list NAME-->``, in an element with ``data-list``. Browsers are sent the lists and blocks that
changed, never the page.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

ROOT = "live"
# A second list of the page, below what does not change.
BELOW = "below"
_PLACE = re.compile(r"<!--list ([\w-]+)-->")


@dataclass(frozen=True)
class Board:
    """``lists``: the ids of the blocks in each list, ``ROOT`` first, a list behind the one that holds
    its block; ``blocks``: the HTML of each.
    """

    lists: Mapping[str, tuple[str, ...]]
    blocks: Mapping[str, str]

    def whole(self, name: str = ROOT) -> str:
        """The HTML of the list ``name`` with all that stands in it."""
        html = "\n".join(self.blocks[block] for block in self.lists.get(name, ()))
        return _PLACE.sub(lambda mark: self.whole(mark[1]), html)


class BoardBuilder:
    """Collects a board, block by block."""

    def __init__(self) -> None:
        self._lists: dict[str, list[str]] = {ROOT: []}
        self._blocks: dict[str, str] = {}

    def begin(self, name: str) -> None:
        """There is a list ``name``, be it empty."""
        self._lists.setdefault(name, [])

    def put(self, block: str, html: str, into: str = ROOT) -> None:
        """``block`` stands last in the list ``into``."""
        self._lists.setdefault(into, []).append(block)
        self._blocks[block] = html

    def board(self) -> Board:
        """What was put."""
        return Board({name: tuple(blocks) for name, blocks in self._lists.items()}, self._blocks)


@dataclass
class Versions:
    """A board through time: each change of it is a version, and each list and block knows its own.

    ``key`` tells this history from every other, that of the server's last run for one.
    """

    board: Board = field(default_factory=lambda: Board({}, {}))
    version: int = 0
    key: str = field(default_factory=lambda: secrets.token_hex(4))
    _lists: dict[str, int] = field(default_factory=dict)
    _blocks: dict[str, int] = field(default_factory=dict)
    _told: dict[int, str] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """Names this version to whoever has seen it."""
        return f"{self.key}.{self.version}"

    def take(self, board: Board) -> None:
        """The board is ``board`` now; without a change the version stays."""
        old, version = self.board, self.version + 1
        lists = {
            n: self._lists[n] if old.lists.get(n) == own else version for n, own in board.lists.items()
        }
        blocks = {
            n: self._blocks[n] if old.blocks.get(n) == html else version
            for n, html in board.blocks.items()
        }
        # A list or block that went is a change of the list that held it.
        if version in lists.values() or version in blocks.values():
            self.board, self.version = board, version
            self._lists, self._blocks, self._told = lists, blocks, {}

    def since(self, mark: str) -> str:
        """All that changed since ``mark``, as JSON: `{"mark", "lists", "blocks"}`; made once for all.

        All there is for a mark of another history.
        """
        seen = self._seen(mark)
        if seen not in self._told:
            self._told[seen] = json.dumps(
                {
                    "mark": self.mark,
                    "lists": {n: own for n, own in self.board.lists.items() if self._lists[n] > seen},
                    "blocks": {n: own for n, own in self.board.blocks.items() if self._blocks[n] > seen},
                },
                ensure_ascii=False,
                separators=(",", ":"),
            )
        return self._told[seen]

    def _seen(self, mark: str) -> int:
        key, _, version = mark.partition(".")
        known = key == self.key and version.isascii() and version.isdigit() and len(version) < 10
        return min(int(version), self.version) if known else 0
