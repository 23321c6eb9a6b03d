"""How often somebody may guess: waiting that doubles with every wrong attempt."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable

from castcore.errors import FleetcastError

FREE = 5
FIRST_WAIT, LONGEST_WAIT = 2.0, 900.0
# Who invents names or addresses must not fill our memory; the oldest are forgotten first.
MOST_KEPT = 10_000


class TooManyAttempts(FleetcastError):
    """Somebody guesses, or has forgotten the password; answered with status 429."""

    advice = "wait, or let an administrator set a new password"


def place(address: str) -> str:
    """Where somebody is: an IPv4 address, or an IPv6 /64, in which a host takes any (RFC 4291)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)


class Attempts:
    """Counts wrong attempts by a key (a place, a user's name there)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: dict[str, tuple[int, float]] = {}

    def begin(self, *keys: str) -> None:
        """An attempt by ``keys``, wrong until `right` is called: many at once are counted each.

        Raises TooManyAttempts when one of ``keys`` has to wait.
        """
        with self._lock:
            wait = max((self._wait(key) for key in keys), default=0.0)
            if wait > 0:
                raise TooManyAttempts(f"too many wrong attempts: the next is taken in {wait:.0f} s")
            for key in keys:
                count, _ = self._wrong.pop(key, (0, 0.0))
                self._wrong[key] = count + 1, self._clock()
            while len(self._wrong) > MOST_KEPT:
                del self._wrong[next(iter(self._wrong))]

    def right(self, *keys: str) -> None:
        """``keys`` may begin anew."""
        with self._lock:
            for key in keys:
                self._wrong.pop(key, None)

    def _wait(self, key: str) -> float:
        count, last = self._wrong.get(key, (0, 0.0))
        if count < FREE:
            return 0.0
        due = min(FIRST_WAIT * 2.0 ** min(count - FREE, 20), LONGEST_WAIT)
        return last + due - self._clock()
