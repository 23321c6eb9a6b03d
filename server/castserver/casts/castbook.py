"""The casts and their parts in memory, written through to the database."""

from __future__ import annotations

import secrets
import time

from castcore.boot import BootDecision
from castcore.errors import NotFound

from castserver.casts.castmodel import Cast, Part, cast_from_row, cast_row, part_from_row, part_row
from castserver.casts.durables import Durables
from castserver.casts.policy import PartState
from castserver.database.database import Database
from castserver.database.tables import CastRow, PartRow
from castserver.licences.licensing import Licensing
from castserver.machines.clients import Clients


class CastBook:
    """Every cast there was and is; whoever changes one holds the lock of ``clients``.

    Every change is in the database when the call returns. Raises NoSpace, DiskFailed.
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
        self.save(cast)
        self._casts[cast.id] = cast

    def save(self, cast: Cast) -> None:
        """``cast`` has changed."""
        self._licensing.save_cast(cast_row(cast))

    def set_part(self, cast: Cast, name: str, state: PartState, message: str) -> None:
        """The part of machine ``name`` is in ``state`` now, for the reason ``message``."""
        part = cast.parts.setdefault(name, Part(state))
        part.state, part.message, part.changed = state, message, int(time.time())
        self._licensing.save_part(part_row(cast.id, name, part))
        if state is PartState.DONE:
            self.durables.forget(name)
            self._clients.set_boots(self._clients.get(name), BootDecision.LOCAL)

    def set_open_parts(self, cast: Cast, state: PartState, message: str) -> None:
        """All parts that have not ended are in ``state`` now."""
        for name, part in cast.parts.items():
            if not part.state.ended:
                self.set_part(cast, name, state, message)
