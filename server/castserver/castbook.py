"""The casts and their parts in memory, written through to the database."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from castcore.boot import BootDecision
from castcore.errors import NotFound

from castserver.castmodel import Cast, Part, cast_from_row, cast_row, part_from_row, part_row
from castserver.clients import Clients
from castserver.database import Database
from castserver.durables import Durables
from castserver.licensing import Licensing
from castserver.policy import PartState
from castserver.tables import CastRow, PartRow


class CastBook:
    """Every cast there was and is; whoever changes one holds the lock of ``clients``.

    Every change is in the database before it is in memory: when a call raises NoSpace, DiskFailed or
    DatabaseAway, nothing has changed, and the same call again does all of it.
    """

    def __init__(self, database: Database, clients: Clients, licensing: Licensing) -> None:
        self._clients, self._licensing = clients, licensing
        self.durables = Durables(database)
        self._casts = {row.id: cast_from_row(row) for row in database.all(CastRow)}
        for row in database.all(PartRow):
            self._casts[row.cast].parts[row.machine] = part_from_row(row)

    def all(self) -> list[Cast]:
        """Every cast, the newest first."""
        return sorted(self._casts.values(), key=lambda c: (c.created, c.id), reverse=True)

    def active(self) -> list[Cast]:
        """Those that have not ended, the oldest first."""
        return sorted((c for c in self._casts.values() if not c.state.ended), key=lambda c: c.created)

    def of_medium(self, medium: str) -> list[Cast]:
        """Those that have not ended and cast from the deploy medium with this key."""
        return [c for c in self.active() if c.run is not None and c.run.image.medium == medium]

    def find(self, name: str) -> Cast | None:
        """The cast with id ``name``, if there is one."""
        return self._casts.get(name)

    def get(self, name: str) -> Cast:
        """The cast with id ``name``. Raises NotFound."""
        found = self._casts.get(name)
        if found is None:
            raise NotFound(f"there is no cast {name[:40]!r}", hint="`fleetcast casts list` shows all")
        return found

    def new_id(self) -> str:
        """An id that no cast has."""
        while (name := f"c{secrets.token_hex(4)}") in self._casts:
            pass
        return name

    def add(self, cast: Cast) -> None:
        """There is one more."""
        self._licensing.save_cast(cast_row(cast))
        self._casts[cast.id] = cast

    def change(self, cast: Cast, to: Cast, parts: Mapping[str, Part] | None = None) -> None:
        """``cast`` is what its copy ``to`` is now, and these ``parts`` of it, none of them DONE, too."""
        parts = parts or {}
        rows = (part_row(cast.id, name, part) for name, part in parts.items())
        self._licensing.save_cast(cast_row(to), *rows)
        vars(cast).update(vars(to))
        cast.parts.update(parts)

    def set_part(self, cast: Cast, name: str, state: PartState, message: str) -> None:
        """The part of machine ``name`` is in ``state`` now, for the reason ``message``."""
        part = _moved(cast.parts.get(name, Part(state)), state, message)
        row = part_row(cast.id, name, part)
        if state is PartState.DONE:
            client = self._clients.get(name)
            with (
                self.durables.forgetting(name) as forgotten,
                self._clients.booting(client, BootDecision.LOCAL) as boots,
            ):
                self._licensing.save_part(row, *forgotten, *boots)
        else:
            self._licensing.save_part(row)
        cast.parts[name] = part

    @contextmanager
    def ordering(self, cast: Cast, name: str) -> Iterator[Sequence[PartRow]]:
        """Machine ``name`` is ordered into ``cast``; whoever calls saves the rows that say so, with the
        order.
        """
        part = cast.parts.get(name)
        # Who has joined may only have registered anew, its link or the server having been away: it does
        # not join again, so it would be waited for in vain. If the machine was restarted, it does.
        if part is not None and part.state is PartState.JOINED:
            yield ()
            return
        part = _moved(part or Part(PartState.ORDERED), PartState.ORDERED, "")
        yield (part_row(cast.id, name, part),)
        cast.parts[name] = part


def open_parts(cast: Cast, state: PartState, message: str) -> dict[str, Part]:
    """All parts that have not ended, as they are in ``state``, for `CastBook.change`."""
    parts = cast.parts.items()
    return {name: _moved(part, state, message) for name, part in parts if not part.state.ended}


def _moved(part: Part, state: PartState, message: str) -> Part:
    return replace(part, state=state, message=message, changed=int(time.time()))
