"""The casts: what operators ask of them, and what clients do in them.

Every call holds the lock shared with :mod:`castserver.machines.clients`. What follows from it is carried
out by :mod:`castserver.casts.castlife`, and is in the database (:mod:`castserver.casts.castbook`) before
anybody hears of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from functools import partial

from castcore.control import Report
from castcore.disk import Rules
from castcore.errors import Busy, FleetcastError, NotFound, Refused

from castserver.casts import castroutes
from castserver.casts.admission import Admission
from castserver.casts.castbook import CastBook
from castserver.casts.castlife import CastLife, may_hold
from castserver.casts.castmodel import Cast, Request
from castserver.casts.castorders import CastOrders
from castserver.casts.castruns import CastRuns
from castserver.casts.durables import Durables
from castserver.casts.legrun import Leg
from castserver.casts.policy import CastState, PartState
from castserver.casts.wayin import WayIn
from castserver.database.database import Database
from castserver.images.library import Library
from castserver.licences.licensing import Licensing
from castserver.machines.clients import Client, Clients
from castserver.machines.presented import Presented

log = logging.getLogger("fleetcast")


class Casts:
    """Every cast there was and is; implements ``castserver.casts.castroutes.CastDirectory``."""

    def __init__(
        self,
        database: Database,
        clients: Clients,
        library: Library,
        legs: Sequence[Leg],
        licensing: Licensing | None = None,
        own_rules: Rules = (),
    ) -> None:
        self.own_rules = own_rules
        self._clients, self._library = clients, library
        self.licensing = licensing or Licensing(database)
        self._lock = clients.lock
        self._runs = CastRuns(legs)
        self._book = CastBook(database, clients, self.licensing)
        self._life = CastLife(self._book, clients, library, self.licensing, self._runs)
        self._orders = CastOrders(self._book, clients)
        self._life.resume_all()

    @property
    def durables(self) -> Durables:
        """What machines' disks have of images already."""
        return self._book.durables

    def all(self) -> list[Cast]:
        """Every cast, the newest first."""
        with self._lock:
            return self._book.all()

    def get(self, name: str) -> Cast:
        """The cast with id ``name``. Raises NotFound."""
        return self._book.get(name)

    def find(self, cast: str, way: WayIn) -> castroutes.RunningCast | None:
        """The cast ``cast``, for who comes in by ``way``; when it has ended they hear why."""
        found = self._book.find(cast)
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
                self._book.new_id(),
                image.name,
                image.root,
                request.rules,
                request.after,
                int(time.time()),
                request.options,
                disk_rules=request.disk_rules,
                made_by=request.by,
            )
            self._life.put_on_air(cast, image)
            try:
                self._orders.open(cast)
            except FleetcastError:
                self._life.take_off_air(cast)
                raise
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
            self._life.begin(cast, by)
        self._clients.changed.fire()

    def pause(self, cast: Cast) -> None:
        """Hold a running cast: its machines wait, and nothing is lost. Raises Refused."""
        with self._lock:
            if cast.state is not CastState.RUNNING:
                raise Refused(f"cast {cast.id} is {cast.state}, only a running one can be paused")
            self._life.pause(cast)

    def resume(self, cast: Cast) -> None:
        """Let a paused cast go on where it was. Raises Refused."""
        with self._lock:
            if cast.state is not CastState.PAUSED:
                raise Refused(f"cast {cast.id} is {cast.state}, only a paused one can be resumed")
            self._life.begin(cast)
        self._clients.changed.fire()

    def retry(self, cast: Cast, machines: Collection[str] | None = None) -> None:
        """Order machines that failed, were refused or are gone into ``cast`` again; None: all of them.

        One that has ended is under way again by that. Raises NotFound and BadImage (its image), InUse
        (too many casts), Refused when no machine can be ordered now, Busy (worth another try).
        """
        with self._lock:
            self._orders.to_retry(cast, machines)
            ended = cast.state.ended
        with ExitStack() as unused:
            image = self._life.open(cast) if ended else None  # without the lock: a shelf takes its time
            if image is not None:
                unused.callback(image.close)
            with self._lock:
                ready = self._orders.to_retry(cast, machines)
                if cast.state.ended:
                    if image is None:
                        raise Busy(f"cast {cast.id} has ended just now", hint="try again")
                    unused.pop_all()
                    self._life.restart(cast, image)
                self._orders.order(cast, ready)
        self._clients.changed.fire()

    def cancel(self, cast: Cast) -> None:
        """End a cast at once; once it was started, machines in the middle of it are left with an
        incomplete disk.
        """
        with self._lock:
            if cast.state.ended:
                raise Refused(f"cast {cast.id} has ended already: {cast.state}")
            self._life.break_off(cast, CastState.CANCELLED, "cancelled by the operator")

    def uses(self, medium: str) -> bool:
        """Whether a cast that has not ended casts from the deploy medium with this key."""
        with self._lock:
            return bool(self._book.of_medium(medium))

    def medium_gone(self, medium: str, why: str) -> None:
        """End every cast from a deploy medium at once; its files are closed beside that.

        ``why`` is for people.
        """
        with self._lock:
            for cast in self._book.of_medium(medium):
                try:
                    self._life.break_off(cast, CastState.FAILED, why)
                except FleetcastError as error:
                    log.error(
                        "cast %s has ended, which is still to be written: %s",
                        *(cast.id, error.what),
                        extra={"cast": cast.id},
                    )

    def busy(self, client: Client) -> str:
        """The id of the cast that ``client`` takes part in now, "" when it is free."""
        with self._lock:
            return self._orders.busy(client)

    def unready(self, client: Client) -> str:
        """Why it cannot be ordered into a cast now, "" when it can."""
        with self._lock:
            return self._orders.unready(client)

    def offer(self, client: Client, *, restarted: bool = False) -> None:
        """Order ``client`` into the oldest cast that wants it, if it is free to take part.

        ``restarted``: it has just registered, so it knows nothing of its earlier orders.
        """
        with self._lock:
            self._orders.offer(client, restarted=restarted)

    def hear(self, client: Client, report: Report) -> None:
        """Take in a report: a part may end by it, and with it the cast."""
        with self._lock:
            cast = self._book.find(report.cast)
            part = cast.parts.get(client.id) if cast is not None else None
            ended = cast and part and self._life.take_in(cast, client.id, part, report)
            if cast is not None:
                self._orders.fill(cast)
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
                    self._book.set_part(cast, client, PartState.REFUSED, error.what)
                    self._life.settle(cast)
                    self._orders.fill(cast)
            raise
        with self._lock:
            if not may_hold(cast, client):
                self.licensing.give_up(cast.id, client)
                raise NotFound(f"the cast is {cast.state} now", hint="ask the operator to cast again")

    def joined(self, cast: Cast, client: str) -> None:
        """``client`` has joined the sender; start when that was the last one awaited."""
        with self._lock:
            if cast.state.ended:
                return
            self._life.join(cast, client)
        self._clients.changed.fire()

    def tick(self) -> None:
        """Once a second: give up on machines that are silent and interfaces that are lost, end what is
        over.
        """
        with self._lock:
            casts = self._life.to_look_at()
            steps: list[Callable[[], None]] = [self._life.give_back]
            steps += [partial(do, cast) for cast in casts for do in (self._life.look, self._orders.fill)]
            for step in steps:
                try:
                    step()
                except FleetcastError as error:  # the next second tries again; the others go on
                    log.error("%s", error.what)
            runs = [cast.run for cast in self._book.active() if cast.run is not None]
        self.licensing.settle()
        for run in runs:  # without the lock: to end a sender takes a moment
            run.look()
        self._runs.share()

    def authorize(self, shown: Presented) -> str | None:
        """The id of the client that makes a request. Raises Unproven."""
        client = self._clients.proven(shown)
        return client.id if client is not None else None

    def close(self) -> None:
        """Stop every sender; the casts themselves go on when the server comes back."""
        self._runs.close()
        self.durables.save()
        self.licensing.close()
