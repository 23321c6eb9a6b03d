"""Who is calling: a user's session, a script's token, or the token in the state directory."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable

from castcore.errors import Refused

from castserver.accounts.apitokens import ApiTokens
from castserver.accounts.attempts import Attempts, place
from castserver.accounts.operatortoken import TOKEN_FILE
from castserver.accounts.roles import Caller, Role
from castserver.accounts.sessions import IDLE_SECONDS, Sessions
from castserver.accounts.users import Users
from castserver.database.database import Database

# A page of ours sends this with what changes anything; another site's page cannot (no CORS here).
CONSOLE_HEADER = "x-fleetcast-console"
READING = frozenset({"GET", "HEAD"})


class Auth:
    """Tells who a request comes from. ``token`` is that of the state directory."""

    def __init__(
        self,
        token: str,
        database: Database,
        clock: Callable[[], float] = time.monotonic,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self._token = token.encode()
        self.users = Users(database)
        self.tokens = ApiTokens(database)
        self.sessions = Sessions(clock, idle)
        self._attempts = Attempts(clock)

    def secrets(self) -> tuple[str, ...]:
        """What opens the server now and is known to it: it must stand in nothing that leaves it."""
        return (self._token.decode(), *self.sessions.secrets())

    def login(self, name: str, password: str, address: str) -> Caller | None:
        """A new session for the user, None for a wrong password; takes a moment on purpose.

        Raises TooManyAttempts.
        """
        # Not by the name alone: who guesses from elsewhere must not lock its owner out.
        keys = f"{name} from {place(address)}", place(address)
        self._attempts.begin(*keys)
        user = self.users.verified(name, password)
        if user is None:
            return None
        self._attempts.right(*keys)
        session = self.sessions.open(user.name, user.role)
        if not self.users.still(user):  # changed or removed while the password was hashed
            self.sessions.close(session)
            return None
        return Caller(user.name, user.role, session)

    def change_password(self, caller: Caller, old: str, new: str, address: str) -> None:
        """The caller's own password; the caller's other sessions end.

        Raises Refused, NotFound, TooManyAttempts.
        """
        keys = f"{caller.name} from {place(address)}", place(address)
        self._attempts.begin(*keys)
        if not caller.session or self.users.verified(caller.name, old) is None:
            raise Refused(f"that is not the password of {caller.name}", hint="give the one in use now")
        self._attempts.right(*keys)
        self.users.change(caller.name, None, new)
        self.sessions.close_all(caller.name, but=caller.session)

    def change_user(self, name: str, role: Role | None, password: str | None) -> None:
        """What is None stays; the user's sessions end. Raises NotFound, Refused."""
        self.users.change(name, role, password)
        self.sessions.close_all(name)

    def remove_user(self, name: str) -> None:
        """The user's sessions end. Raises NotFound, Refused."""
        self.users.remove(name)
        self.sessions.close_all(name)

    def caller(
        self, *, token: str, session: str, method: str, from_console: bool, used: bool = True
    ) -> Caller | None:
        """Who a request comes from, None: nobody we know.

        A browser sends its cookie whoever made it ask, so a session changes things only for a request
        that carries the console's own header. ``used``: a person asked, not a page that renews itself.
        """
        if token:
            return self._by_token(token)
        if method not in READING and not from_console:
            return None
        return self.sessions.caller(session, used=used)

    def holds(self, caller: Caller, token: str) -> bool:
        """Whether who called with this ``token``, or by a session, would be let in still."""
        if caller.session:
            return self.sessions.caller(caller.session, used=False) is not None
        return self._by_token(token) is not None

    def _by_token(self, token: str) -> Caller | None:
        if hmac.compare_digest(token.encode(errors="surrogatepass"), self._token):
            return Caller(f"token {TOKEN_FILE}", Role.ADMIN)
        return self.tokens.caller(token)
