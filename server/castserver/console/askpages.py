"""What the console asks before disks are erased or left incomplete, told by the server just then."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from castcore.errors import FleetcastError
from fastapi import APIRouter, Query, Request, Response

from castserver.api.access import Name, Parts, caller_of
from castserver.api.views import PartView
from castserver.casts import castmodel, consequences
from castserver.casts.castfit import Verdict
from castserver.casts.castpreview import Preview, preview
from castserver.casts.policy import CastRules
from castserver.console import page
from castserver.console.room import names
from castserver.parts import ServerParts

# Machines that a question names; of the others it gives the number.
MOST_NAMES = 8
MOST_ASKED = 10_000

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


@routes.get("/ask/cast")
def ask_cast(
    request: Request,
    parts: Parts,
    image: Annotated[str, Query(max_length=201)],
    count: int | None = None,
    seconds: int | None = None,
    client: Annotated[
        list[Annotated[str, Query(max_length=64)]] | None, Query(max_length=MOST_ASKED)
    ] = None,
) -> Response:
    """What making a cast of ``image`` does to the machines with the ids ``client``, or to all that are
    ready (None).

    ``count``: it starts by itself when so many have joined; ``seconds``: so long after the first; both
    None: on command.
    """
    if caller_of(request, parts) is None:
        return Response(status_code=401)
    if client is None:
        machines = sum(one.state == "ready" for one in parts.state().clients)
    else:
        machines = len(set(client))
    found = _previewed(parts, image, client, count)
    values = {
        "image": image.rpartition("/")[2],
        "machines": machines,
        "everybody": client is None,
        "count": count,
        "seconds": seconds,
        "left": found.licences.count if found is not None else None,
        "misfits": _misfits(parts, found) if found is not None else [],
        "MOST_NAMED": MOST_NAMES,
        "short": found is not None and found.licences.short(found.needed),
    }
    return page.render(request, "ask/cast.html", values)


def named(machines: tuple[PartView, ...]) -> list[str]:
    """The first of ``machines`` by name."""
    return [names(part.label)[0] for part in machines[:MOST_NAMES]]


def _previewed(
    parts: ServerParts, image: str, clients: list[str] | None, count: int | None
) -> Preview | None:
    """What a cast to ``clients``, or to all here, would do; None: it cannot be made."""
    targets = None if clients is None else frozenset(clients)
    wish = castmodel.Request(image, CastRules(count, targets=targets))
    try:
        return preview(wish, parts.casts, parts.clients, parts.library, parts.casts.own_rules)
    except FleetcastError:  # the call that makes the cast will say so
        return None


def _misfits(parts: ServerParts, found: Preview) -> list[tuple[str, str]]:
    """The machines, by name, that the image does not fit, and why."""
    return [
        (names(parts.clients.get(name).label)[0], machine.reason)
        for name, machine in found.machines.items()
        if machine.verdict is Verdict.MISFIT
    ]


def _online(parts: ServerParts) -> frozenset[str]:
    now = parts.clients.clock()
    return frozenset(client.id for client in parts.clients.all() if client.online(now))
