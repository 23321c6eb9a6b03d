"""A database that fails when a test wants it to, and the wait for what casts do beside the calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from castcore.errors import NoSpace
from castserver.database.tables import Base

from tests.support.serverlab import ServerLab

FULL = "the database is full"


@dataclass
class Faint:
    """``left`` writes with a row of ``kind`` fail; ``saves`` are the rows of each write that did not."""

    kind: type[Base] = Base
    left: int = 0
    saves: list[tuple[Base, ...]] = field(default_factory=list)

    def fails(self, rows: Sequence[Base]) -> bool:
        """Whether the write of ``rows`` is one of them."""
        if self.left == 0 or not any(isinstance(row, self.kind) for row in rows):
            return False
        self.left -= 1
        return True


def faint(lab: ServerLab, monkeypatch: pytest.MonkeyPatch) -> Faint:
    """The database of ``lab`` fails as the answer says."""
    how, save = Faint(), lab.database.save

    def tried(*rows: Base, gone: Sequence[Base] = ()) -> None:
        if how.fails(rows):
            raise NoSpace(FULL)
        save(*rows, gone=gone)
        how.saves.append(rows)

    monkeypatch.setattr(lab.database, "save", tried)
    return how


def wait_closed(lab: ServerLab) -> None:
    """Return when every cast that has ended has closed its sender and its image."""
    for thread in list(lab.casts._runs._closing.values()):
        thread.join(10)
        assert not thread.is_alive()
