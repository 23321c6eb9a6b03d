"""The casts: what was asked, who takes part, and the step from each event to the next state.

The decisions are :mod:`castserver.policy`'s; here they are carried out, under the lock shared with
:mod:`castserver.clients`, and written to the database before anybody hears of them.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence

from castcore.boot import BootDecision
from castcore.control import Order, OrderKind, Report
from castcore.errors import Busy, FleetcastError, NotFound, Refused

from castserver import castroutes, policy
from castserver.admission import Admission
from castserver.castmodel import Cast, Part, Request, cast_from_row, cast_row, part_from_row, part_row
from castserver.castrun import CastRun, free_slot
from castserver.clients import Client, Clients
from castserver.database import Database
from castserver.durables import Durables
from castserver.legrun import Leg, OpenImage
from castserver.library import Library
from castserver.licensing import Licensing
from castserver.policy import CastState, PartState
from castserver.tables import CastRow, PartRow
from castserver.wayin import WayIn

RESTARTED = "the server was restarted; the cast goes on"


class Casts:
    """Every cast there was and is; implements ``castserver.castroutes.CastDirectory``."""

    def __init__(
        self,
        database: Database,
        clients: Clients,
        library: Library,
        legs: Sequence[Leg],
        licensing: Licensing | None = None,
    ) -> None:
        self._database, self._clients, self._library = database, clients, library
        self._legs = tuple(legs)
        self.licensing = licensing or Licensing(database)
        self.durables = Durables(database)
        self._lock = clients.lock
        self._casts: dict[str, Cast] = {}
        # Runs to be closed, with whether to abort; and those that somebody closes just now.
        self._closing: list[tuple[CastRun, bool]] = []
        self._being_closed: list[tuple[CastRun, bool]] = []
        self._load()

    def all(self) -> list[Cast]:
        """Every cast, the newest first."""
        with self._lock:
            return sorted(self._casts.values(), key=lambda c: (c.created, c.id), reverse=True)

    def get(self, name: str) -> Cast:
        """The cast with id ``name``. Raises NotFound."""
        found = self._casts.get(name)
        if found is None:
            raise NotFound(f"there is no cast {name[:40]!r}", hint="`fleetcast casts list` shows all")
        return found

    def find(self, cast: str, way: WayIn) -> castroutes.RunningCast | None:
        """The cast ``cast``, for who comes in by ``way``; when it has ended they hear why."""
        found = self._casts.get(cast)
        return None if found is None else Admission(self, found, way)

    def create(self, request: Request) -> Cast:
        """Make a cast and order every machine in that is ready for it.

        Raises NotFound (image or machine), BadImage, InUse (too many casts).
        """
        for name in request.rules.targets or ():
            self._clients.get(name)
        image = self._library.open(request.image)
        with self._lock:
            cast = Cast(
                self._new_id(),
                image.name,
                image.root,
                request.rules,
                request.after,
                int(time.time()),
                request.options,
                made_by=request.by,
            )
            try:
                self._put_on_air(cast, image)
                self._save(cast)
            except FleetcastError:
                image.close()
                raise
            self._casts[cast.id] = cast
            for client in self._clients.all():
                self.offer(client)
        self._clients.changed.fire()
        return cast

    def start(self, cast: Cast, by: str = "") -> None:
        """Start a gathering cast with those who joined; ``by`` is who asks.

        Raises Refused when there is none to start.
        """
        with self._lock:
            if cast.state is not CastState.GATHERING or cast.run is None:
                raise Refused(f"cast {cast.id} is {cast.state}, only a gathering one can be started")
            if PartState.JOINED not in cast.states():
                raise Refused(
                    f"no machine has joined cast {cast.id} yet",
                    hint="boot machines over the network first",
                )
            cast.made_by = by or cast.made_by
            self._begin(cast)
        self._clients.changed.fire()

    def cancel(self, cast: Cast) -> None:
        """End a cast at once; machines in the middle of it are left with an incomplete disk."""
        with self._lock:
            if cast.state.ended:
                raise Refused(f"cast {cast.id} has ended already: {cast.state}")
            self._break_off(cast, CastState.CANCELLED, "cancelled by the operator")

    def uses(self, medium: str) -> bool:
        """Whether a cast that has not ended casts from the deploy medium with this key."""
        with self._lock:
            return bool(self._of(medium))

    def medium_gone(self, medium: str, why: str) -> None:
        """End every cast from a deploy medium at once; its files are closed beside that.

        ``why`` is for people.
        """
        with self._lock:
            for cast in self._of(medium):
                self._break_off(cast, CastState.FAILED, why)
        # Who reads what is dead may hang for long, and nobody shall with them.
        threading.Thread(target=self._close_ended, name="close casts", daemon=True).start()

    def busy(self, client: Client) -> str:
        """The id of the cast that ``client`` takes part in now, "" when it is free."""
        with self._lock:
            return next((c.id for c in self._active() if _awaits(c, client.id)), "")

    def offer(self, client: Client, *, restarted: bool = False) -> None:
        """Order ``client`` into the oldest cast that wants it, if it is free to take part.

        ``restarted``: it has just registered, so it knows nothing of its earlier orders.
        """
        with self._lock:
            idle = policy.idle(client.report, stays=client.stays)
            if not idle or client.capture or not client.online(self._clients.clock()):
                return
            busy = self.busy(client)
            if busy and not restarted:
                return
            for cast in [self._casts[busy]] if busy else self._active():
                part = cast.parts.get(client.id)
                taken = part.state if part else None
                if policy.wants(cast.state, cast.rules, client.id, taken, source=client.source):
                    self._order(cast, client)
                    return

    def hear(self, client: Client, report: Report) -> None:
        """Take in a report: a part may end by it, and with it the cast."""
        with self._lock:
            cast = self._casts.get(report.cast)
            part = cast.parts.get(client.id) if cast is not None else None
            ended = (
                cast is not None and part is not None and self._take_in(cast, client.id, part, report)
            )
            self.offer(client)
        if ended:  # without the lock: a medium takes its time
            self.licensing.settle()

    def claim(self, cast: Cast, client: str) -> None:
        """Reserve a licence for ``client``, where the cast needs one; else it has no part in it.

        Raises NoLicence, DiskFailed, Untrusted, NotFound (the cast has ended meanwhile), Busy (worth
        another try).
        """
        try:
            self.licensing.claim(cast.id, client, cast.bare_image, cast.medium)
        except Busy:
            raise
        except FleetcastError as error:
            with self._lock:
                part = cast.parts.get(client)
                if part is not None and not part.state.ended:
                    self._set_part(cast, client, PartState.REFUSED, error.what)
                    self._settle(cast)
            raise
        with self._lock:
            if not _may_hold(cast, client):
                self.licensing.give_up(cast.id, client)
                raise NotFound(f"the cast is {cast.state} now", hint="ask the operator to cast again")

    def joined(self, cast: Cast, client: str) -> None:
        """``client`` has joined the sender; start when that was the last one awaited."""
        with self._lock:
            if cast.state.ended:
                return
            # From now on its disk may be half written: if it restarts, it must meet our client again.
            self._clients.set_boots(self._clients.get(client), BootDecision.CLIENT)
            self._set_part(cast, client, PartState.JOINED, "")
            if policy.should_start(cast.state, cast.rules, cast.states()):
                self._begin(cast)
        self._clients.changed.fire()

    def tick(self) -> None:
        """Once a second: give up on machines that are silent and interfaces that are lost, end what is
        over.
        """
        with self._lock:
            now = self._clients.clock()
            for cast in self._active():
                for name, part in cast.parts.items():
                    if not part.state.ended and not self._clients.get(name).online(now):
                        self._set_part(cast, name, PartState.GONE, "it has not been heard for a while")
                self._settle(cast)
            runs = [cast.run for cast in self._active() if cast.run is not None]
        self.licensing.settle()
        for run in runs:  # without the lock: to end a sender takes a moment
            run.look()
        self._close_ended()

    def authorize(self, token: str) -> str | None:
        """The id of the client that ``token`` belongs to."""
        client = self._clients.by_token(token)
        return client.id if client is not None else None

    def close(self) -> None:
        """Stop every sender; the casts themselves go on when the server comes back."""
        with self._lock:
            runs = [c.run for c in self._casts.values() if c.run is not None]
        for run in runs:
            run.close()
        self._close_ended()
        self.durables.save()
        self.licensing.close()

    def _close_ended(self) -> None:
        """Stop the senders of casts that have ended: without the lock, it takes them a moment."""
        with self._lock:
            mine, self._closing = self._closing, []
            self._being_closed += mine
        for run, abort in mine:
            run.close(abort=abort)
            with self._lock:
                self._being_closed.remove((run, abort))

    def _active(self) -> list[Cast]:
        return sorted((c for c in self._casts.values() if not c.state.ended), key=lambda c: c.created)

    def _of(self, medium: str) -> list[Cast]:
        return [c for c in self._active() if c.run is not None and c.run.image.medium == medium]

    def _put_on_air(self, cast: Cast, image: OpenImage) -> None:
        runs = [
            *(run for run, _ in (*self._closing, *self._being_closed)),
            *(c.run for c in self._casts.values() if c.run is not None),
        ]
        slot = free_slot({run.slot for run in runs})
        cast.medium = image.medium
        cast.run = CastRun(image, slot, self._legs, cast.options)

    def _order(self, cast: Cast, client: Client) -> None:
        # Who has joined may only have registered anew, its link or the server having been away: it does
        # not join again, so it would be waited for in vain. If the machine was restarted, it does.
        part = cast.parts.get(client.id)
        if part is None or part.state is not PartState.JOINED:
            self._set_part(cast, client.id, PartState.ORDERED, "")
        order = Order(0, OrderKind.CAST, cast.id, cast.after, cast.rules.update)
        self._clients.order(client, order)

    def _begin(self, cast: Cast) -> None:
        if cast.run is not None:
            cast.run.start()
        if cast.state is not CastState.RUNNING:
            cast.state, cast.message = CastState.RUNNING, ""
            cast.started = cast.started or int(time.time())
            self._save(cast)

    def _settle(self, cast: Cast) -> None:
        failure = cast.run.failure if cast.run is not None else ""
        if failure:
            self._break_off(cast, CastState.FAILED, failure)
            return
        state = policy.after_parts(cast.state, cast.rules, cast.states())
        if state is not cast.state and state.ended:
            done = cast.states().count(PartState.DONE)
            self._end(cast, state, f"{done} of {len(cast.parts)} machines proven")
        elif state is not cast.state:
            cast.state = state
            self._save(cast)
        self._clients.changed.fire()

    def _break_off(self, cast: Cast, state: CastState, why: str) -> None:
        for name, part in cast.parts.items():
            if not part.state.ended:
                self._set_part(cast, name, PartState.FAILED, why)
        self._end(cast, state, why)
        self._clients.changed.fire()

    def _end(self, cast: Cast, state: CastState, message: str) -> None:
        cast.state, cast.message, cast.ended = state, message, int(time.time())
        self._save(cast)
        if cast.run is not None:
            self._closing.append((cast.run, state is not CastState.DONE))
            cast.run = None

    def _take_in(self, cast: Cast, client: str, part: Part, report: Report) -> bool:
        """``part`` after ``report``; whether it has ended by it."""
        part.report = report
        state, said = policy.part_after_report(part.state, report, cast.root)
        if state is PartState.DONE and part.state is not state:
            state, said = self._licensed(cast, client)
        if state is part.state and said in ("", part.message):
            return False
        self._set_part(cast, client, state, said or report.message)
        gathering = cast.state is CastState.GATHERING
        if gathering and policy.should_start(cast.state, cast.rules, cast.states()):
            self._begin(cast)
        self._settle(cast)
        return state.ended

    def _licensed(self, cast: Cast, client: str) -> tuple[PartState, str]:
        """The part of a machine that has proven its disk, and what is to be said of it."""
        try:
            self.licensing.require(cast.id, client, cast.bare_image, cast.medium)
        except FleetcastError as error:
            return PartState.FAILED, f"its disk is proven, but it was given up before, and {error.what}"
        return PartState.DONE, ""

    def _set_part(self, cast: Cast, name: str, state: PartState, message: str) -> None:
        part = cast.parts.setdefault(name, Part(state))
        part.state, part.message, part.changed = state, message, int(time.time())
        self.licensing.save_part(part_row(cast.id, name, part))
        if state is PartState.DONE:
            self.durables.forget(name)
            self._clients.set_boots(self._clients.get(name), BootDecision.LOCAL)

    def _new_id(self) -> str:
        while (name := f"c{secrets.token_hex(4)}") in self._casts:
            pass
        return name

    def _save(self, cast: Cast) -> None:
        self.licensing.save_cast(cast_row(cast))

    def _load(self) -> None:
        self._casts = {row.id: cast_from_row(row) for row in self._database.all(CastRow)}
        for row in self._database.all(PartRow):
            self._casts[row.cast].parts[row.machine] = part_from_row(row)
        for cast in self._active():
            self._resume(cast)
        for name, machine in self.licensing.reserved():
            if not _may_hold(self._casts[name], machine):
                self.licensing.give_up(name, machine)

    def _resume(self, cast: Cast) -> None:
        """Put a cast of the last run on the air again; those in the middle of it join anew."""
        try:
            image = self._library.open(cast.image, cast.root)
            if image.root != cast.root:
                image.close()
                raise Refused(f"image {cast.image} is not the one this cast was made for any more")
            self._put_on_air(cast, image)
        except FleetcastError as error:
            self._end(cast, CastState.FAILED, f"interrupted by a restart, and {error.what}")
            return
        for name, part in cast.parts.items():
            if not part.state.ended:
                self._clients.get(name).heard = self._clients.clock()
                self._set_part(cast, name, PartState.ORDERED, RESTARTED)
        cast.message = RESTARTED
        self._save(cast)


def _awaits(cast: Cast, client: str) -> bool:
    part = cast.parts.get(client)
    return part is not None and not part.state.ended


def _may_hold(cast: Cast, client: str) -> bool:
    """Whether a licence can be reserved for ``client`` now."""
    part = cast.parts.get(client)
    lost = part is not None and part.state in (PartState.FAILED, PartState.REFUSED)
    return not cast.state.ended and not lost
