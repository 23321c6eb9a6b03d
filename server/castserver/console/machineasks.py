"""What the console asks before a machine is restarted or powered off, told just then."""

from __future__ import annotations

from enum import StrEnum

from fastapi import APIRouter, Request, Response

from castserver.api.access import Name, Parts, caller_of
from castserver.api.views import client_view
from castserver.casts.policy import idle
from castserver.console import page

routes = APIRouter(include_in_schema=False)


class Leaving(StrEnum):
    """How a machine leaves our client; the words are those of the API's orders."""

    REBOOT = "reboot"
    POWER_OFF = "power-off"


@routes.get("/machines/{machine}/ask/{what}")
def ask(request: Request, parts: Parts, machine: Name, what: Leaving) -> Response:
    """What it does to the machine, or why it cannot be done now, in the reader's language."""
    if caller_of(request, parts) is None:
        return Response(status_code=401)
    with parts.clients.lock:
        client = parts.clients.find(machine)
        busy = parts.casts.busy(client)
        values = {
            "machine": client_view(client, parts.clients, parts.boots, parts.once),
            "off": what is Leaving.POWER_OFF,
            "cast": parts.casts.get(busy).image if busy else "",
            "capture": parts.captures.get(client.capture).image if client.capture else "",
            "at_work": not idle(client.report, stays=True),
        }
    return page.render(request, "ask/leave.html", values)
