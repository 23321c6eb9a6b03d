"""Shows a running cast: a live table on a terminal, one ``status`` event a second under ``--json``."""

from __future__ import annotations

import time
from collections.abc import Callable

from castcore.cast.status import CastStatus
from castcore.edge.commandline import JSON_PROGRESS_SECONDS, Screen

from castserver.cli.casttable import cast_lines


class CastWatch:
    """Shows each status it is given, not more often than anybody can follow."""

    def __init__(self, screen: Screen, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen, self._clock = screen, clock
        self._told = -JSON_PROGRESS_SECONDS

    def show(self, status: CastStatus, *footer: str, last: bool = False) -> None:
        """Show ``status``, with ``footer`` below it on a terminal; the ``last`` one in any case."""
        if not self._screen.as_json:
            self._screen.block([*cast_lines(status, self._screen.rows - len(footer)), *footer])
            return
        now = self._clock()
        if last or now - self._told >= JSON_PROGRESS_SECONDS:
            self._told = now
            self._screen.emit({"event": "status", **status.to_json()})
