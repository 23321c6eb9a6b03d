"""The boot files as they are now: a PXE tree that was replaced is noticed, and served from then on.

What was begun goes on: an open file stays what it was, and a machine whose script names the old kernel
by its hash gets that, until the tree is replaced once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from castcore.boot import BootEvent, BootStage, bootnames
from castcore.errors import FleetcastError

from castserver.services.bootfiles import TREE_FILE, BootFile, BootFiles
from castserver.services.steadyfile import FileMark

# Somebody may copy a tree file by file: what could not be loaded is tried again after so many seconds.
RETRY_SECONDS = 30.0


class ServedFiles:
    """What ``load`` makes of ``tree``, anew after each change of its `TREE_FILE`; raises as it does."""

    def __init__(
        self,
        tree: Path,
        load: Callable[[], BootFiles],
        on_event: Callable[[BootEvent], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table, self._load, self._on_event, self._clock = tree / TREE_FILE, load, on_event, clock
        self._mark = self._look()
        self._now = load()
        self._before: BootFiles | None = None
        self._told: FileMark | None = None
        self._retry_at = 0.0

    @property
    def tftp(self) -> Mapping[str, BootFile]:
        """What TFTP serves, by canonical name."""
        return self._now.tftp

    def over_http(self, name: str) -> BootFile | None:
        """The file that HTTP serves under that canonical ``name``; None: there is none."""
        before = self._before
        old = before is not None and bootnames.is_by_hash(name)
        return self._now.over_http(name) or (before.http.get(name) if before and old else None)

    def refresh(self) -> bool:
        """Load the tree anew if it was replaced; whether it was. One that is no tree is told, once.

        While `media-builder` works there is no `TREE_FILE`: the old tree is served on.
        """
        mark = self._look()
        if mark in (None, self._mark) or self._clock() < self._retry_at:
            return False
        try:
            loaded = self._load()
        except FleetcastError as error:
            self._retry_at = self._clock() + RETRY_SECONDS
            if mark != self._told:
                self._told = mark
                detail = f"the boot tree was replaced, and the old one is served on: {error.what}"
                self._on_event(BootEvent("", BootStage.FAILED, detail))
            return False
        if self._before is not None:
            self._before.close()
        self._before, self._now, self._mark = self._now, loaded, mark
        return True

    def close(self) -> None:
        """Let go of every file; what was opened stays open."""
        for files in (self._now, self._before):
            if files is not None:
                files.close()

    def _look(self) -> FileMark | None:
        try:
            with self._table.open("rb") as table:
                return FileMark.of(table.fileno())
        except OSError:
            return None
