"""What the server does of itself, for the audit log: casts, media, PXE deploy, licences, its own life.

It looks once a second at what is there and notes what differs from the last time, beside everything
that does it: a database that fails, or hangs, costs no cast anything.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from castcore import __version__

from castserver.casts.castmodel import Cast
from castserver.casts.policy import CastState
from castserver.licences.licenceterms import LicenceEvent
from castserver.media.mediastate import MediaNow, Medium
from castserver.netboot.booting import BY_OPERATOR
from castserver.parts import ServerParts

# Changes of media between two looks; of more the first are skipped.
MOST_CHANGES = 100
# Licences are taken one by one, so they are counted until their cast is over; a reservation is no use.
COUNTED = frozenset({"imported", "consumed", "released", "unpaid"})


@dataclass(frozen=True, slots=True)
class _Happened:
    """One entry; ``outcome`` is "" for what went well."""

    action: str
    detail: dict[str, object]
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A cast as it was at the last look."""

    state: CastState
    ended: int | None


class Happenings:
    """Of one run of the server; `licence` and `media` are called by any thread, and only remember.

    ``began``: Unix seconds; what ended before is of an earlier run.
    """

    def __init__(self, began: int) -> None:
        self._began = began
        self._lock, self._looking = threading.Lock(), threading.Lock()
        self._media: deque[MediaNow] = deque(maxlen=MOST_CHANGES)
        # By word, medium and cast; and those that changed since the last look.
        self._licences: Counter[tuple[str, str, str]] = Counter()
        self._fresh: set[tuple[str, str, str]] = set()
        self._casts: dict[str, _Seen] = {}
        self._connected: dict[str, Medium] = {}
        self._deploy: bool | None = None

    def licence(self, event: LicenceEvent) -> None:
        """Something happened to a licence."""
        if event.word in COUNTED:
            key = event.word, event.medium, event.cast
            with self._lock:
                self._licences[key] += 1
                self._fresh.add(key)

    def media(self, now: MediaNow) -> None:
        """A medium has come, or gone."""
        with self._lock:
            self._media.append(now)

    def begin(self, parts: ServerParts) -> None:
        """The server serves now."""
        self.media(parts.media.now)
        parts.audit.note(None, "", "server started", json.dumps({"version": __version__}))

    def look(self, parts: ServerParts, *, last: bool = False) -> None:
        """Note what has happened since the last look; ``last``: there will be no other."""
        with self._looking:
            with parts.clients.lock:  # a cast is seen as a whole
                found = [*self._of_casts(parts.casts.all())]
                over = {name for name, seen in self._casts.items() if seen.state.ended}
            found += [*self._of_media(), *self._of_deploy(parts), *self._of_licences(over, last=last)]
            for one in found:
                detail = json.dumps({k: v for k, v in one.detail.items() if v != ""})
                parts.audit.note(None, "", one.action, detail, one.outcome)

    def end(self, parts: ServerParts) -> None:
        """The server stops."""
        self.look(parts, last=True)
        parts.audit.note(None, "", "server stopped", json.dumps({"version": __version__}))

    def _of_casts(self, casts: list[Cast]) -> Iterator[_Happened]:
        for cast in reversed(casts):  # the oldest first
            before = self._casts.get(cast.id, _Seen(CastState.GATHERING, None))
            now = self._casts[cast.id] = _Seen(cast.state, cast.ended)
            if now == before or (cast.ended or self._began) < self._began:
                continue
            if before.state is CastState.GATHERING and cast.began_for:
                yield _Happened(f"cast {cast.id} started", {"image": cast.image, "why": cast.began_for})
            if cast.state.ended:
                yield _ended(cast)

    def _of_media(self) -> Iterator[_Happened]:
        with self._lock:
            steps = list(self._media)
            self._media.clear()
        for step in steps:
            now = {medium.key: medium for medium in step.connected}
            for key in self._connected.keys() - now.keys():
                yield _Happened("medium gone", _shown(self._connected[key]))
            for key, medium in now.items():
                known = self._connected.get(key)
                if known is None or known.problem != medium.problem:
                    yield _Happened("medium connected", _shown(medium), medium.problem)
            self._connected = now

    def _of_deploy(self, parts: ServerParts) -> Iterator[_Happened]:
        deploy = parts.booting.state().deploy
        if self._deploy and not deploy.on and deploy.why != BY_OPERATOR:
            yield _Happened("PXE deploy off", {"why": deploy.why})
        self._deploy = deploy.on

    def _of_licences(self, over: set[str], *, last: bool) -> Iterator[_Happened]:
        """One entry for each cast and word, once the cast is over and nothing more happened to it."""
        with self._lock:
            fresh, self._fresh = self._fresh, set()
            due = [
                key
                for key in self._licences
                if last or not key[2] or (key[2] in over and key not in fresh)
            ]
            counted = [(key, self._licences.pop(key)) for key in due]
        for (word, medium, cast), count in counted:
            outcome = "disks were proven for which no licence was left" if word == "unpaid" else ""
            detail: dict[str, object] = {"medium": medium, "cast": cast, "count": count}
            yield _Happened(f"licences {word}", detail, outcome)


def _ended(cast: Cast) -> _Happened:
    counts = Counter(state.value for state in cast.states())
    machines = dict(sorted(counts.items()))
    detail: dict[str, object] = {
        "image": cast.image,
        "state": cast.state.value,
        "machines": machines,
    }
    outcome = cast.message if cast.state is CastState.FAILED else ""
    return _Happened(f"cast {cast.id} ended", detail, outcome)


def _shown(medium: Medium) -> dict[str, object]:
    return {"name": medium.name, "id": medium.id, "where": medium.where}
