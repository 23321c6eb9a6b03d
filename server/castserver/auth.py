"""Who may operate the server: the holder of the operator's token, or of a session it opened."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from castcore.edge.image.store import require_space
from castcore.edge.net.identity import write_secret
from castcore.errors import DiskFailed, Untrusted

TOKEN_FILE = "operator.token"
SHORTEST_TOKEN = 20
# "__Host-" (RFC 6265bis, 4.1.3.2): the browser itself refuses it without TLS or from another host.
COOKIE = "__Host-fleetcast-session"
# A page of ours sends this with what changes anything; another site's page cannot (no CORS here).
CONSOLE_HEADER = "x-fleetcast-console"
SESSION_SECONDS = 12 * 3600
# Sessions live in memory; one per login, so this bounds what a forgetful script can pile up.
MOST_SESSIONS = 1000
READING = frozenset({"GET", "HEAD"})


def load_or_make_token(directory: Path) -> str:
    """The operator's token kept in ``directory``, made at first.

    Raises NoSpace, DiskFailed, Untrusted.
    """
    path = directory / TOKEN_FILE
    try:
        if not path.exists():
            write_secret(path, f"{secrets.token_urlsafe(32)}\n".encode())
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError):
            require_space(error, directory, "another directory")
        raise DiskFailed(f"{path}: {error}", hint="give a directory we may write to") from None
    if len(token) < SHORTEST_TOKEN:
        raise Untrusted(
            f"the token in {path} is too short to be safe", hint="remove the file: a new one is made"
        )
    return token


class OperatorAuth:
    """Tells the operator's requests from all others."""

    def __init__(self, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token.encode()
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, float] = {}
        self._watching = 0
        self._seen: float | None = None

    def is_token(self, token: str) -> bool:
        """Whether ``token`` is the operator's (in constant time)."""
        return hmac.compare_digest(token.encode(errors="surrogatepass"), self._token)

    def secrets(self) -> tuple[str, ...]:
        """All that opens the server now: what must stand in nothing that leaves it."""
        with self._lock:
            return (self._token.decode(), *self._sessions)

    def open_session(self) -> str:
        """A new session's secret; the oldest session goes when there are too many."""
        session = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._sessions) >= MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[session] = self._clock() + SESSION_SECONDS
        return session

    def close_session(self, session: str) -> None:
        """Forget ``session``."""
        with self._lock:
            self._sessions.pop(session, None)

    def is_session(self, session: str) -> bool:
        """Whether ``session`` is open now; one that asks is a console somebody looks at."""
        with self._lock:
            now = self._clock()
            known = self._sessions.get(session, -1.0) > now
            if known:
                self._seen = now
            return known

    @contextmanager
    def watched(self) -> Iterator[None]:
        """For as long as a console's event stream is open."""
        with self._lock:
            self._watching += 1
        try:
            yield
        finally:
            with self._lock:
                self._watching -= 1
                if self._seen is not None:
                    self._seen = self._clock()

    def away(self) -> float | None:
        """For how many seconds no console has been open; None when none was."""
        with self._lock:
            if self._seen is None:
                return None
            return 0.0 if self._watching else self._clock() - self._seen

    def forget_consoles(self) -> None:
        """Count from the next console on."""
        with self._lock:
            self._seen = self._clock() if self._watching and self._seen is not None else None

    def allows(self, *, token: str, session: str, method: str, from_console: bool) -> bool:
        """Whether a request is the operator's: by its token, or by its session.

        A browser sends its cookie whoever made it ask, so a session changes things only for a request
        that carries the console's own header.
        """
        if token:
            return self.is_token(token)
        return self.is_session(session) and (method in READING or from_console)
