"""Passwords: what is asked of them, and Argon2id (RFC 9106) over them."""

from __future__ import annotations

import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from castcore.errors import Refused

SHORTEST, LONGEST = 10, 200
GENERATED_BYTES = 12
# RFC 9106's second choice takes 64 MiB: for every request at once it could fill our memory.
AT_ONCE = 2

_hasher = PasswordHasher()
_turns = threading.BoundedSemaphore(AT_ONCE)


def require_good(password: str) -> None:
    """Return when ``password`` may be one. Raises Refused.

    Length is all that is asked: rules about characters make passwords worse (NIST SP 800-63B, 5.1.1).
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refused(
            f"a password has {SHORTEST} to {LONGEST} characters, this one has {len(password)}",
            hint="take a few words that only you put together",
        )


def generated() -> str:
    """A new password that nobody has to think of."""
    return secrets.token_urlsafe(GENERATED_BYTES)


def hashed(password: str) -> str:
    """What is kept of ``password``."""
    with _turns:
        return _hasher.hash(password.encode(errors="surrogatepass"))


def matches(kept: str, password: str) -> bool:
    """Whether ``kept`` was made of ``password``."""
    with _turns:
        try:
            return _hasher.verify(kept, password.encode(errors="surrogatepass"))
        except (VerificationError, InvalidHashError):
            return False


# Compared with when there is no such user, so that the time of an answer tells nothing.
NOBODYS = _hasher.hash(secrets.token_bytes(32))
