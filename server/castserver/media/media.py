"""Deploy media as they come and go: found, checked, mounted read-only, used, and let go when pulled out.

A thread of its own looks; what is slow (mounting, unmounting what is dead) is done in further ones, so
that a pulled medium is noticed at once, whatever another does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from castcore.edge.medium import FoundMedium, OpenMedium, medium_at, open_medium
from castcore.errors import FleetcastError, NotFound

from castserver.media.mediaeyes import Seen
from castserver.media.mediastate import MediaNow, Medium, came, went

# A medium that could not be opened (somebody writes it just now) is tried again.
RETRY_SECONDS = 5.0

log = logging.getLogger("fleetcast")


class Looker(Protocol):
    """What `castserver.media.mediaeyes.Eyes` does."""

    def look(self) -> tuple[Seen, ...]:
        """What is there now."""

    def wait(self) -> set[str]:
        """Return when something changed, or after a while; the paths told of."""

    def close(self) -> None:
        """Look no more."""


class Users(Protocol):
    """Who uses a medium: hears when it is there, and when it is gone."""

    def uses(self, medium: str) -> bool:
        """Whether a cast runs from the medium with this key."""

    def connected(self, medium: Medium) -> None:
        """It is the one to use now."""

    def gone(self, medium: Medium, why: str, *, used: bool) -> None:
        """It was pulled out: let go of it. ``why`` says so to people; ``used``: there is none now."""


@dataclass(frozen=True)
class World:
    """How a medium is checked and opened; a test gives its own."""

    check: Callable[[str], FoundMedium | None] = medium_at
    open: Callable[[str], AbstractContextManager[OpenMedium]] = open_medium
    clock: Callable[[], float] = time.monotonic


@dataclass(eq=False)
class _Held:
    """Something that was looked at; ``stack`` holds its mount, ``retry`` is when it is tried again.

    ``busy`` while it is being looked at, ``medium`` when it is one.
    """

    seen: Seen
    stack: ExitStack = field(default_factory=ExitStack)
    busy: bool = True
    medium: bool = False
    retry: float = 0.0


class Media:
    """Watches for deploy media through ``eyes``."""

    def __init__(self, eyes: Looker, world: World | None = None) -> None:
        self._eyes, self._world = eyes, world or World()
        self._changed: Callable[[], None] = lambda: None
        self._users: Users | None = None
        self._now = MediaNow()
        self._held: dict[str, _Held] = {}
        self._stopping = threading.Event()
        self._lock = threading.RLock()
        # Users are told in the order in which it happened: held while that is settled and told, slow or
        # not; taken before the other one.
        self._telling = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="media", daemon=True)

    @property
    def now(self) -> MediaNow:
        """How it stands."""
        return self._now

    def find(self) -> None:
        """Look once, before anybody asks: what is connected at the start is there then."""
        for held in self._changes(frozenset()):
            self._meet(held)

    def start(self, users: Users, changed: Callable[[], None]) -> None:
        """Tell ``users`` of what is there, and of what comes and goes.

        ``changed`` is called when it should be shown anew.
        """
        with self._telling:
            with self._lock:
                self._users, self._changed, used = users, changed, self._now.medium
            if used is not None:
                users.connected(used)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more, and let all go."""
        self._stopping.set()
        self._eyes.close()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            held, self._held, self._now = list(self._held.values()), {}, MediaNow()
        for one in held:
            _let_go(one)

    def _run(self) -> None:
        while not self._stopping.is_set():
            touched = frozenset(self._eyes.wait())
            if self._stopping.is_set():
                return
            try:
                for held in self._changes(touched):
                    _in_thread("new medium", partial(self._meet, held))
            except Exception:
                log.exception("looking for deploy media stumbled; it goes on")
                self._stopping.wait(1.0)

    def _changes(self, touched: frozenset[str]) -> list[_Held]:
        """One look: let go of what is gone; return what is to be met. ``touched`` were changed."""
        seen, now = {one.key: one for one in self._eyes.look()}, self._world.clock()
        with self._lock:
            gone = [self._held.pop(key) for key in list(self._held) if key not in seen]
        for held in gone:
            self._lose(held)
        with self._lock:
            new = [_Held(one) for one in seen.values() if self._is_due(one, touched, now)]
            self._held |= {held.seen.key: held for held in new}
        return new

    def _is_due(self, one: Seen, touched: frozenset[str], now: float) -> bool:
        held = self._held.get(one.key)
        if held is None:
            return True
        return not held.busy and not held.medium and (one.path in touched or 0 < held.retry <= now)

    def _meet(self, held: _Held) -> None:
        """Look at something new: a medium is mounted, and used from now on."""
        medium = self._opened(held)
        with self._telling:
            self._settle(held, medium)

    def _settle(self, held: _Held, medium: Medium | None) -> None:
        """It is known what ``held`` is."""
        with self._lock:
            held.busy = False
            if self._held.get(held.seen.key) is not held:  # pulled out again
                _let_go(held)
                return
            known = self._now.get(held.seen.key)
            if medium is not None:
                self._now = came(self._now, medium)
            elif known is not None:  # it was one with a problem, and is none any more
                self._now = went(self._now, known.key, casting=False)
        if medium is None or medium == known:
            return
        if medium.problem:
            said = "%s cannot be used as a deploy medium: %s"
            log.warning(said, medium.where, medium.problem, extra={"medium": medium.where})
        self._changed()
        if held.medium and self._users is not None:
            self._users.connected(medium)

    def _opened(self, held: _Held) -> Medium | None:
        """The medium that it is, mounted, or with its problem; None when it is none."""
        seen, found = held.seen, None
        try:
            found = self._world.check(seen.path)
            if found is None:
                return None
            opened = held.stack.enter_context(self._world.open(seen.path))
        except NotFound:
            return None
        except FleetcastError as error:
            held.retry = self._world.clock() + RETRY_SECONDS
            # A disk that cannot even be read is none of ours.
            ours = found is not None or seen.named
            return Medium(seen.key, seen.path, problem=error.what) if ours else None
        except Exception:
            log.exception("looking at %s stumbled; it is looked at again", seen.path)
            held.retry = self._world.clock() + RETRY_SECONDS
            return None
        held.medium = True
        info = opened.info
        return Medium(
            seen.key,
            seen.path,
            info.id,
            info.name,
            opened.serial,
            found.size,
            str(opened.root),
            opened.ledger.offset,
            opened.ledger.size,
        )

    def _lose(self, held: _Held) -> None:
        with self._telling:
            self._end(held)
        # What is dead may take its time to be unmounted.
        _in_thread("unmount", partial(_let_go, held))

    def _end(self, held: _Held) -> None:
        users = self._users
        with self._lock:
            medium = self._now.get(held.seen.key)
            if medium is not None:
                casting = users is not None and users.uses(medium.key)
                used = self._now.used == medium.key
                self._now = went(self._now, medium.key, casting=casting)
        if medium is not None:
            if users is not None and held.medium:
                why = f"medium {medium.name} ({medium.where}) was pulled out"
                users.gone(medium, why, used=used or casting)
            self._changed()


def _let_go(held: _Held) -> None:
    try:
        held.stack.close()
    except FleetcastError as error:
        log.error("%s: %s", held.seen.path, error.what)


def _in_thread(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=name, daemon=True).start()
