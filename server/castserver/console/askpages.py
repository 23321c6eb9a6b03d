"""What the console asks before a cast erases disks or leaves them incomplete, told just then."""

from __future__ import annotations

from enum import StrEnum

from fastapi import APIRouter, Request, Response

from castserver.api.access import Name, Parts, caller_of
from castserver.api.views import PartView
from castserver.casts import consequences
from castserver.console import page
from castserver.console.room import names
from castserver.parts import ServerParts

# Machines that a question names; of the others it gives the number.
MOST_NAMES = 8

routes = APIRouter(include_in_schema=False)


class Asked(StrEnum):
    """What can be done to a cast and its machines' disks."""

    START = "start"
    CANCEL = "cancel"
    RETRY = "retry"


@routes.get("/casts/{cast}/ask/{what}")
def ask(request: Request, parts: Parts, cast: Name, what: Asked) -> Response:
    """What starting, cancelling or retrying the cast does, in the reader's language."""
    if caller_of(request, parts) is None:
        return Response(status_code=401)
    found = parts.casts.get(cast)
    view, _ = parts.room(found.id)
    if what is Asked.CANCEL:
        left = consequences.of_cancel(view)
        return page.render(request, "ask/cancel.html", {"cast": view, "left": left, "named": named})
    if what is Asked.RETRY:
        here, away = consequences.of_retry(view, _online(parts))
        values = {"cast": view, "again": here, "away": away, "named": named}
        return page.render(request, "ask/retry.html", values)
    start = consequences.of_start(view)
    licences = parts.casts.licensing.left(found.bare_image, found.medium)
    # Those that have joined hold theirs.
    lacking = licences.short(len(start.awaited))
    asked = {"cast": view, "start": start, "lacking": lacking, "named": named}
    return page.render(request, "ask/start.html", asked)


def named(machines: tuple[PartView, ...]) -> list[str]:
    """The first of ``machines`` by name."""
    return [names(part.label)[0] for part in machines[:MOST_NAMES]]


def _online(parts: ServerParts) -> frozenset[str]:
    now = parts.clients.clock()
    return frozenset(client.id for client in parts.clients.all() if client.online(now))
