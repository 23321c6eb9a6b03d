"""Clients wait for their turn, people do not: a room that starts at once leaves the console quick.

Each request is served in a few steps, and whoever comes later waits for all steps of those before. So
of the clients' short calls a few are served at a time; the others wait here, where they cost nothing.
"""

from __future__ import annotations

import re

import anyio
from castcore.control import API
from starlette.types import ASGIApp, Receive, Scope, Send

# Enough to keep a processor and a disk busy.
AT_ONCE = 4
# Waiting for orders, chunks and uploads are not here: they take long by their nature, and have bounds of
# their own.
_POST = re.compile(rf"{API}/(clients|clients/[^/]+/(report|log)|casts/[^/]+/(join|durable|licence))")
_GET = re.compile(rf"{API}/casts/[^/]+/(descriptor|manifest|index|durable|peers)")


class Turns:
    """Lets ``app`` serve AT_ONCE short calls of clients at a time, and everything else at once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._slots = anyio.CapacityLimiter(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if not waits(scope):
            await self._app(scope, receive, send)
            return
        # On behalf of the request: the limiter's own borrower would be the connection's task.
        borrower = object()
        await self._slots.acquire_on_behalf_of(borrower)
        try:
            await self._app(scope, receive, send)
        finally:
            self._slots.release_on_behalf_of(borrower)


def waits(scope: Scope) -> bool:
    """Whether a request is one of the clients' short calls."""
    if scope["type"] != "http":
        return False
    calls = {"POST": _POST, "GET": _GET}.get(scope["method"])
    return calls is not None and calls.fullmatch(scope["path"]) is not None
