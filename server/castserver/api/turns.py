"""Clients wait for their turn, people do not: a room that starts at once leaves the console quick.

Each request is served in a few steps, and whoever comes later waits for all steps of those before. So
of the clients' short calls a few are served at a time; the others wait here, where they cost nothing.
A turn is for the work alone: who sends a request slowly, or takes an answer slowly, holds none.
"""

from __future__ import annotations

import re
from collections import deque

import anyio
from castcore.control import API
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Enough to keep a processor and a disk busy.
AT_ONCE = 4
# For a request to come whole; a PC that was switched off in the middle of one says nothing more.
REQUEST_SECONDS = 20.0
# Waiting for orders, chunks and uploads are not here: they take long by their nature, and have bounds of
# their own.
_POST = re.compile(rf"{API}/(clients|clients/[^/]+/(report|log)|casts/[^/]+/(join|durable|licence))")
_GET = re.compile(rf"{API}/casts/[^/]+/(descriptor|manifest|index|durable|peers)")


class Turns:
    """Lets ``app`` serve AT_ONCE short calls of clients at a time, and everything else at once.

    Of a request's body it takes up to ``most`` bytes before; ``app`` refuses what has more.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most
        self._slots = anyio.CapacityLimiter(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if not waits(scope):
            await self._app(scope, receive, send)
            return
        try:
            with anyio.fail_after(REQUEST_SECONDS):
                came = await _request(receive, self._most)
        except TimeoutError:
            await _too_slow()(scope, receive, send)
            return
        if came[-1]["type"] == "http.disconnect":
            return
        await self._work(scope, _again(came, receive), send)

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        # On behalf of the request: the limiter's own borrower would be the connection's task.
        borrower: object | None = object()
        await self._slots.acquire_on_behalf_of(borrower)

        def release() -> None:
            nonlocal borrower
            if borrower is not None:
                self._slots.release_on_behalf_of(borrower)
                borrower = None

        async def answer(message: Message) -> None:
            release()
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            release()


async def _request(receive: Receive, most: int) -> deque[Message]:
    """The messages of a request: all of them, or those up to its end by a disconnect, or too many."""
    came, size = deque[Message](), 0
    while True:
        message = await receive()
        came.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body", False) or size > most:
            return came


def _again(came: deque[Message], receive: Receive) -> Receive:
    """What ``came`` already, then what ``receive`` has."""

    async def again() -> Message:
        return came.popleft() if came else await receive()

    return again


def _too_slow() -> JSONResponse:
    words = {"error": f"the request did not come whole in {REQUEST_SECONDS:g} s", "hint": ""}
    return JSONResponse(words, 408, {"Connection": "close"})


def waits(scope: Scope) -> bool:
    """Whether a request is one of the clients' short calls."""
    if scope["type"] != "http":
        return False
    calls = {"POST": _POST, "GET": _GET}.get(scope["method"])
    return calls is not None and calls.fullmatch(scope["path"]) is not None
