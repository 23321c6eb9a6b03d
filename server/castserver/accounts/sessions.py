"""Sessions of browsers: who is logged in, for how long, and whether anybody looks."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from castserver.accounts.roles import Caller, Role

# "__Host-" (RFC 6265bis, 4.1.3.2): the browser itself refuses it without TLS or from another host.
COOKIE = "__Host-fleetcast-session"
SESSION_SECONDS = 12 * 3600
IDLE_SECONDS = 30 * 60
# Sessions live in memory; one per login, so this bounds what a forgetful script can pile up.
MOST_SESSIONS = 1000


@dataclass
class _Session:
    user: str
    role: Role
    ends: float
    used: float


class Sessions:
    """The open sessions. A page that renews itself is no sign that somebody is there.

    One without use for ``idle`` seconds ends; a viewer's does not: it can change nothing, and may be on
    a wall. So it is no open console either, as `away` counts them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, idle: float = IDLE_SECONDS) -> None:
        self._clock, self._idle = clock, idle
        self._lock = threading.Lock()
        self._open: dict[str, _Session] = {}
        self._watching = 0
        self._seen: float | None = None

    def open(self, user: str, role: Role) -> str:
        """A new session's secret; the oldest session goes when there are too many."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._open) >= MOST_SESSIONS:
                del self._open[next(iter(self._open))]
            now = self._clock()
            self._open[secret] = _Session(user, role, now + SESSION_SECONDS, now)
            self._saw(role, now)
        return secret

    def secrets(self) -> tuple[str, ...]:
        """Those of all that are open."""
        with self._lock:
            return tuple(self._open)

    def close(self, secret: str) -> None:
        """Forget the session."""
        with self._lock:
            self._open.pop(secret, None)

    def close_all(self, user: str, *, but: str = "") -> None:
        """Forget every session of ``user`` ``but`` one: what they may has changed."""
        with self._lock:
            for secret in [s for s, own in self._open.items() if own.user == user and s != but]:
                del self._open[secret]

    def caller(self, secret: str, *, used: bool) -> Caller | None:
        """Whose session it is, None when it is not open; ``used``: a person did something."""
        with self._lock:
            session, now = self._open.get(secret), self._clock()
            if session is None:
                return None
            idle = session.role is not Role.VIEWER and now - session.used > self._idle
            if idle or now > session.ends:
                del self._open[secret]
                return None
            if used:
                session.used = now
            self._saw(session.role, now)
            return Caller(session.user, session.role, secret)

    def saw(self, role: Role) -> None:
        """Somebody with this ``role`` looks at a console now, without a session."""
        with self._lock:
            self._saw(role, self._clock())

    @contextmanager
    def watched(self, role: Role) -> Iterator[None]:
        """For as long as somebody with this ``role`` follows what happens, by whatever stream."""
        one = 1 if role.may(Role.OPERATOR) else 0
        with self._lock:
            self._watching += one
            self._saw(role, self._clock())
        try:
            yield
        finally:
            with self._lock:
                self._watching -= one
                self._saw(role, self._clock())

    def away(self) -> float | None:
        """For how many seconds no operator's console has been open; None when none was."""
        with self._lock:
            if self._seen is None:
                return None
            return 0.0 if self._watching else self._clock() - self._seen

    def forget_consoles(self) -> None:
        """Count from the next console on."""
        with self._lock:
            self._seen = self._clock() if self._watching else None

    def _saw(self, role: Role, now: float) -> None:
        if role.may(Role.OPERATOR):
            self._seen = now
