"""Tokens for scripts, in the database: each with a role and an end; only their hashes are kept."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from castcore.errors import NotFound, Refused

from castserver.accounts.roles import Caller, Role
from castserver.database.database import Database
from castserver.database.tables import TokenRow
from castserver.days import DAY

MOST_TOKENS = 1000
ID_BYTES = 6


@dataclass(frozen=True, slots=True)
class ApiToken:
    """One of them, without its secret. Times in Unix seconds; ``used`` is of this run of the server."""

    id: str
    name: str
    role: Role
    made_by: str
    created: int
    expires: int
    used: int | None = None


class ApiTokens:
    """The tokens; every method may be called from any thread. Raises NoSpace, DiskFailed."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._rows = {row.hash: row for row in database.all(TokenRow)}
        self._used: dict[str, int] = {}

    def all(self) -> list[ApiToken]:
        """Those that have not expired, by name; what has expired is forgotten."""
        with self._lock:
            self._sweep()
            rows = sorted(self._rows.values(), key=lambda row: (row.name, row.id))
            return [self._token(row) for row in rows]

    def issue(self, name: str, role: Role, days: int, made_by: str) -> tuple[ApiToken, str]:
        """A new token and its secret, which nobody can be told again. Raises Refused."""
        secret = secrets.token_urlsafe(32)
        now = int(self._clock())
        row = TokenRow(
            id=secrets.token_hex(ID_BYTES),
            name=name,
            role=role.value,
            hash=_hash(secret),
            made_by=made_by,
            created=now,
            expires=now + days * DAY,
        )
        with self._lock:
            self._sweep()
            if len(self._rows) >= MOST_TOKENS:
                raise Refused(f"there are {MOST_TOKENS} tokens already", hint="revoke some")
            self._database.save(row)
            self._rows[row.hash] = row
            return self._token(row), secret

    def revoke(self, token: str) -> None:
        """The token whose id that is ends now. Raises NotFound."""
        with self._lock:
            row = next((row for row in self._rows.values() if row.id == token), None)
            if row is None:
                raise NotFound(
                    f"there is no token {token!r:.40}", hint="`fleetcast tokens list` shows them"
                )
            self._database.save(gone=[row])
            del self._rows[row.hash]

    def caller(self, secret: str) -> Caller | None:
        """Who calls with this secret; None: nobody."""
        # Without the lock, which is held while the disk is written: coroutines ask this.
        now, row = int(self._clock()), self._rows.get(_hash(secret))
        if row is None or row.expires <= now:
            return None
        self._used[row.id] = now
        return Caller(f"token {row.name}", Role(row.role))

    def _sweep(self) -> None:
        now = self._clock()
        expired = [row for row in self._rows.values() if row.expires <= now]
        if expired:
            self._database.save(gone=expired)
            for row in expired:
                del self._rows[row.hash]

    def _token(self, row: TokenRow) -> ApiToken:
        used = self._used.get(row.id)
        return ApiToken(row.id, row.name, Role(row.role), row.made_by, row.created, row.expires, used)


def _hash(secret: str) -> str:
    # Unguessable already: no slow hash needed, and looking one up by it betrays nothing of it.
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
