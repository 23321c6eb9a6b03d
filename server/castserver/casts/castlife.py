"""What happens to one cast is carried out: it begins, its parts end, it ends, it comes back.

The decisions are :mod:`castserver.casts.policy`'s. Whoever calls holds the lock of the clients.
"""

from __future__ import annotations

import time
from dataclasses import replace

from castcore.boot import BootDecision
from castcore.control import Report
from castcore.errors import FleetcastError, Refused

from castserver.casts import policy
from castserver.casts.castbook import CastBook, open_parts
from castserver.casts.castmodel import Cast, Part
from castserver.casts.castruns import CastRuns
from castserver.casts.legrun import OpenImage
from castserver.casts.policy import CastState, PartState
from castserver.images.library import Library
from castserver.licences.licensing import Licensing
from castserver.machines.clients import Clients

RESTARTED = "the server was restarted; the cast goes on"


class CastLife:
    """The steps from each event to the next state; ``runs`` are what is on the air."""

    def __init__(
        self, book: CastBook, clients: Clients, library: Library, licensing: Licensing, runs: CastRuns
    ) -> None:
        self._book, self._clients, self._library = book, clients, library
        self._licensing, self._runs = licensing, runs
        # Casts that have ended, and how, which the database does not know yet.
        self._unwritten: dict[str, tuple[CastState, str]] = {}
        # Reports by cast and machine that have not been taken in yet.
        self._untaken: dict[tuple[str, str], Report] = {}

    def put_on_air(self, cast: Cast, image: OpenImage) -> None:
        """Let clients read and join it. Raises InUse: too many casts; ``image`` is closed then."""
        try:
            cast.run = self._runs.open(image, cast.options)
        except FleetcastError:
            image.close()
            raise
        cast.medium = image.medium

    def take_off_air(self, cast: Cast, *, abort: bool = True) -> None:
        """No client can join it any more; ``abort`` tells those who have to give up."""
        if cast.run is not None:
            self._runs.end(cast.run, abort=abort)
            cast.run = None

    def begin(self, cast: Cast, by: str = "") -> None:
        """Send to those who have joined; ``by`` is who asks, "" when nobody does."""
        if cast.state is not CastState.RUNNING:
            started, made_by = cast.started or int(time.time()), by or cast.made_by
            to = replace(cast, state=CastState.RUNNING, message="", started=started, made_by=made_by)
            joined = [name for name, part in cast.parts.items() if part.state is PartState.JOINED]
            self._book.change(cast, to, half_written=joined)
        if cast.run is not None:
            cast.run.pause(paused=False)
            cast.run.start()
            self._runs.share()

    def begin_if_due(self, cast: Cast) -> None:
        """Send to those who have joined, if the cast starts of itself now."""
        waited = policy.starts_in(cast.rules, cast.first_joined, int(time.time()))
        if policy.should_start(cast.state, cast.rules, cast.states(), waited):
            gathering, joined = cast.state is CastState.GATHERING, cast.states().count(PartState.JOINED)
            self.begin(cast)
            if gathering:
                long = f", {cast.rules.start_after} s after the first" if waited == 0 else ""
                cast.began_for = f"machines that had joined: {joined}{long}"

    def pause(self, cast: Cast) -> None:
        """Send nothing more until it is begun again; its machines wait."""
        self._book.change(cast, replace(cast, state=CastState.PAUSED, message=""))
        if cast.run is not None:
            cast.run.pause(paused=True)
            self._runs.share()
        self._clients.changed.fire()

    def join(self, cast: Cast, name: str) -> None:
        """Machine ``name`` has joined the sender; the first one starts the time that may be waited."""
        if cast.first_joined is None:
            self._book.change(cast, replace(cast, first_joined=int(time.time())))
        if cast.state is not CastState.GATHERING:
            # Its disk may be half written from now on: if it restarts, it has to meet our client.
            self._clients.set_boots(self._clients.get(name), BootDecision.CLIENT)
        self._book.set_part(cast, name, PartState.JOINED, "")
        self.begin_if_due(cast)

    def settle(self, cast: Cast) -> None:
        """A part has changed, or the sender has: the cast may be over by it."""
        if cast.id in self._unwritten:
            self.break_off(cast, *self._unwritten[cast.id])
            return
        failure = cast.run.failure if cast.run is not None else ""
        if failure:
            self.break_off(cast, CastState.FAILED, failure)
            return
        state = policy.after_parts(cast.state, cast.rules, cast.states())
        if state is not cast.state and state.ended:
            done = cast.states().count(PartState.DONE)
            self.break_off(cast, state, f"{done} of {len(cast.parts)} machines proven")
            return
        if state is not cast.state:
            self._book.change(cast, replace(cast, state=state))
        self._clients.changed.fire()

    def break_off(self, cast: Cast, state: CastState, why: str) -> None:
        """End it at once; ``why`` is for people. It is off the air even when that cannot be written now;
        then `settle` tries again.
        """
        self._unwritten[cast.id] = state, why
        to = replace(cast, state=state, message=why, ended=int(time.time()))
        try:
            self._book.change(cast, to, open_parts(cast, PartState.FAILED, why))
            del self._unwritten[cast.id]
        finally:
            self.take_off_air(cast, abort=state is not CastState.DONE)
        self._clients.changed.fire()

    def take_in(self, cast: Cast, client: str, part: Part, report: Report) -> bool:
        """``part`` after ``report``; whether it has ended by it. What cannot be written now is taken in
        later, by `look`: the machine may not say it again.
        """
        part.report = report
        self._untaken[cast.id, client] = report
        state, said = policy.part_after_report(part.state, report, cast.root)
        if state is PartState.DONE and part.state is not state:
            state, said = self._licensed(cast, client)
        changed = state is not part.state or said not in ("", part.message)
        if changed:
            self._book.set_part(cast, client, state, said or report.message)
        self._untaken.pop((cast.id, client))
        if not changed:
            return False
        if cast.state is CastState.GATHERING:
            self.begin_if_due(cast)
        self.settle(cast)
        return state.ended

    def to_look_at(self) -> list[Cast]:
        """Those that something may happen to without anybody's doing."""
        late = {cast for cast, _ in self._untaken}
        ended = [cast for name in late if (cast := self._book.get(name)).state.ended]
        return [*self._book.active(), *ended]

    def look(self, cast: Cast) -> None:
        """Once a second: what could not be written before, and machines that were not heard are gone."""
        for name, report in [(of[1], told) for of, told in self._untaken.items() if of[0] == cast.id]:
            self.take_in(cast, name, cast.parts[name], report)
        now = self._clients.clock()
        for name, part in cast.parts.items():
            if not part.state.ended and not self._clients.get(name).online(now):
                self._book.set_part(cast, name, PartState.GONE, "it has not been heard for a while")
        if cast.state is CastState.GATHERING:
            self.begin_if_due(cast)
        self.settle(cast)

    def resume_all(self) -> None:
        """Put the casts of the last run on the air again."""
        for cast in self._book.active():
            self._resume(cast)
        self.give_back()

    def give_back(self) -> None:
        """No licence stays reserved for a machine that takes no part any more."""
        for name, machine in self._licensing.reserved():
            if not may_hold(self._book.get(name), machine):
                self._licensing.give_up(name, machine)

    def open(self, cast: Cast) -> OpenImage:
        """The image of a cast that has no sender. Raises NotFound, BadImage, DiskFailed, Refused."""
        image = self._library.open(cast.image, cast.root)
        if image.root != cast.root:
            image.close()
            raise Refused(f"image {cast.image} is not the one this cast was made for any more")
        return image

    def restart(self, cast: Cast, image: OpenImage) -> None:
        """A cast that has ended is under way again, for those who will be ordered into it.

        Raises InUse: too many casts. Whatever it raises, ``image`` is closed.
        """
        self.put_on_air(cast, image)
        try:
            started = cast.started or int(time.time())
            to = replace(cast, state=CastState.RUNNING, message="", started=started, ended=None)
            self._book.change(cast, to)
        except FleetcastError:
            self.take_off_air(cast)
            raise

    def _resume(self, cast: Cast) -> None:
        """Those in the middle of it join anew."""
        try:
            self.put_on_air(cast, self.open(cast))
        except FleetcastError as error:
            why = f"interrupted by a restart, and {error.what}"
            self.break_off(cast, CastState.FAILED, why)
            return
        for name, part in cast.parts.items():
            if not part.state.ended:
                self._clients.get(name).heard = self._clients.clock()
        if cast.run is not None and cast.state is CastState.PAUSED:
            cast.run.pause(paused=True)
        parts = open_parts(cast, PartState.ORDERED, RESTARTED)
        parts = {
            name: new for name, new in parts.items() if cast.parts[name].state is not PartState.QUEUED
        }
        self._book.change(cast, replace(cast, message=RESTARTED), parts)

    def _licensed(self, cast: Cast, client: str) -> tuple[PartState, str]:
        """The part of a machine that has proven its disk, and what is to be said of it."""
        try:
            self._licensing.require(cast.id, client, cast.bare_image, cast.medium)
        except FleetcastError as error:
            return PartState.FAILED, f"its disk is proven, but it was given up before, and {error.what}"
        return PartState.DONE, ""


def may_hold(cast: Cast, client: str) -> bool:
    """Whether a licence can be reserved for ``client`` now."""
    part = cast.parts.get(client)
    lost = part is not None and part.state in (PartState.FAILED, PartState.REFUSED)
    return not cast.state.ended and not lost
