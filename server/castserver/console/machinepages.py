"""The pages about machines: the list with its search, and one machine with all it was given."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from castserver.accounts.roles import Caller
from castserver.api.access import Name, Parts, caller_of
from castserver.api.views import STATES, client_view, image_view
from castserver.console import page
from castserver.console.machinelist import MOST_ROWS, Wanted, wanted_rows
from castserver.console.visit import visited
from castserver.machines.machineviews import deploys, history, marks_view
from castserver.parts import ServerParts

LONGEST_SEARCH = 200

routes = APIRouter(include_in_schema=False)
_Text = Annotated[str, Query(max_length=LONGEST_SEARCH)]


def _asked(q: _Text = "", group: _Text = "", tag: _Text = "", state: _Text = "") -> Wanted:
    return Wanted(q, group, tag, state)


Asked = Annotated[Wanted, Depends(_asked)]


@routes.get("/machines")
def machines(request: Request, parts: Parts, wanted: Asked) -> Response:
    """Every machine, or those searched for; the script keeps the rows live."""

    def values(_: Caller) -> dict[str, object]:
        marks = marks_view(parts.clients.all())
        images = [image_view(shelved) for shelved in parts.library.all()]
        return {"marks": marks, "images": images, "states": STATES} | _rows(parts, wanted)

    return visited(request, parts, "machines.html", values)


@routes.get("/machines/rows")
def rows(request: Request, parts: Parts, wanted: Asked) -> Response:
    """The rows of the list alone; the script puts them into the page."""
    if caller_of(request, parts) is None:
        return Response(status_code=401)
    return page.render(request, "machinerows.html", _rows(parts, wanted))


@routes.get("/machines/{machine}")
def machine(request: Request, parts: Parts, machine: Name) -> Response:
    """One machine, by its id also a removed one: what it is, how it stands, what it was given."""
    known = parts.clients

    def values(_: Caller) -> dict[str, object]:
        with known.lock:
            client = known.get(machine) if known.has(machine) else known.find(machine)
            shown = client_view(client, parts.clients, parts.boots, parts.once)
            writes = history(parts.casts.all(), client)
        logs = [file for file in parts.logs.kept() if file.machine == client.id]
        given = {"machine": shown, "removed": client.removed, "writes": writes, "logs": logs}
        return given | {"now": int(time.time())}

    return visited(request, parts, "machine.html", values)


def _rows(parts: ServerParts, wanted: Wanted) -> dict[str, object]:
    with parts.clients.lock:
        known = parts.clients.all()
        shown = [client_view(c, parts.clients, parts.boots, parts.once) for c in known]
        given = {row.client: row for row in deploys(parts.casts.all(), known)}
    found = wanted_rows(shown, wanted)
    return {
        "found": found[:MOST_ROWS],
        "left_out": max(len(found) - MOST_ROWS, 0),
        "all": len(known),
        "given": given,
        "wanted": wanted,
        "now": int(time.time()),
    }
