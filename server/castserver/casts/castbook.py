"""The casts and their parts in memory, written through to the database."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from castcore.boot import BootDecision
from castcore.control import Order
from castcore.errors import NotFound

from castserver.casts.castmodel import Cast, Part, cast_from_row, cast_row, part_from_row, part_row
from castserver.casts.durables import Durables
from castserver.casts.policy import PartState
from castserver.database.database import Database
from castserver.database.tables import Base, CastRow, PartRow
from castserver.licences.licensing import Licensing
from castserver.machines.clients import Client, Clients


class CastBook:
    """Every cast there was and is; whoever changes one holds the lock of ``clients``.

    Every change is in the database before it is in memory: when a call raises NoSpace, DiskFailed or
    DatabaseAway, nothing has changed, and the same call again does all of it.
    """

    def __init__(self, database: Database, clients: Clients, licensing: Licensing) -> None:
        self._database, self._clients, self._licensing = database, clients, licensing
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

    def order(
        self, cast: Cast, clients: Sequence[Client], order: Order, queued: Sequence[Client] = ()
    ) -> None:
        """Order ``clients`` into ``cast``, which may be new: then there is one more. ``queued`` wait."""
        parts = dict(_ordered(cast, clients)) | dict(_queued(cast, queued))
        rows: list[Base] = [cast_row(cast)] if cast.id not in self._casts else []
        rows += [part_row(cast.id, name, part) for name, part in parts.items()]
        with self._clients.ordering(clients, order) as orders:
            self._database.save(*rows, *orders)
            self._casts[cast.id] = cast
            cast.parts.update(parts)

    def change(
        self,
        cast: Cast,
        to: Cast,
        parts: Mapping[str, Part] | None = None,
        half_written: Sequence[str] = (),
    ) -> None:
        """``cast`` is what its copy ``to`` is now, and these ``parts`` of it, none of them DONE, too.

        The disks of the machines ``half_written`` may be that from now on: if they restart, they have to
        meet our client.
        """
        parts = parts or {}
        rows = [part_row(cast.id, name, part) for name, part in parts.items()]
        machines = [self._clients.get(name) for name in half_written]
        with self._clients.booting(machines, BootDecision.CLIENT) as boots:
            self._licensing.save_cast(cast_row(to), *rows, *boots)
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
                self._clients.booting([client], BootDecision.LOCAL) as boots,
            ):
                self._licensing.save_part(row, *forgotten, *boots)
        else:
            self._licensing.save_part(row)
        cast.parts[name] = part


def _ordered(cast: Cast, clients: Sequence[Client]) -> Iterator[tuple[str, Part]]:
    for client in clients:
        part = cast.parts.get(client.id, Part(PartState.ORDERED))
        # Who has joined may only have registered anew, its link or the server having been away: it does
        # not join again, so it would be waited for in vain. If the machine was restarted, it does.
        if part.state is not PartState.JOINED:
            yield client.id, _moved(part, PartState.ORDERED, "")


def _queued(cast: Cast, clients: Sequence[Client]) -> Iterator[tuple[str, Part]]:
    why = f"it waits for its turn: no more than {cast.rules.most_at_once} machines at a time"
    for client in clients:
        part = cast.parts.get(client.id, Part(PartState.QUEUED))
        yield client.id, _moved(part, PartState.QUEUED, why)


def open_parts(cast: Cast, state: PartState, message: str) -> dict[str, Part]:
    """All parts that have not ended, as they are in ``state``, for `CastBook.change`."""
    parts = cast.parts.items()
    return {name: _moved(part, state, message) for name, part in parts if not part.state.ended}


def _moved(part: Part, state: PartState, message: str) -> Part:
    return replace(part, state=state, message=message, changed=int(time.time()))
