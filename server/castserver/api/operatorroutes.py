"""What the operator calls, by console, command line or script: machines, casts, images, live state."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Literal

import anyio.to_thread
from castcore.boot import BootDecision
from castcore.control import Device, Order, OrderKind
from castcore.errors import Refused
from fastapi import Request as HttpRequest
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from castserver.accounts.roles import Caller
from castserver.api.access import Name, Parts, Viewer, operator_routes
from castserver.api.views import (
    CastView,
    ClientView,
    ErrorView,
    ImageView,
    RateView,
    Refusals,
    StateView,
    cast_view,
    client_view,
    image_view,
)
from castserver.casts.castwish import NewCast, request_of
from castserver.parts import ServerParts

# The event stream: not more often than this, and a sign of life at least every KEEP_ALIVE seconds.
PAUSE = 0.5
KEEP_ALIVE = 10.0

REFUSED: Refusals = {403: {"model": ErrorView, "description": "The state of things forbids it"}}
MISSING: Refusals = {404: {"model": ErrorView, "description": "There is no such machine, cast or image"}}

routes = operator_routes("operator")


class NewOrder(BaseModel):
    """An order to a connected client."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal[OrderKind.REBOOT, OrderKind.POWER_OFF]


@routes.get("/clients", summary="Every machine ever met")
def list_clients(parts: Parts) -> list[ClientView]:
    """The order is that of their first registration."""
    with parts.clients.lock:
        return [client_view(c, parts.clients, parts.boots, parts.once) for c in parts.clients.all()]


@routes.get("/clients/{client}", summary="One machine", responses=MISSING)
def show_client(parts: Parts, client: Name) -> ClientView:
    """Its hardware, its disks, its last report."""
    with parts.clients.lock:
        return client_view(parts.clients.find(client), parts.clients, parts.boots, parts.once)


@routes.get("/clients/{client}/logs", summary="The last lines of a client's log", responses=MISSING)
def show_logs(parts: Parts, client: Name) -> list[str]:
    """What it sent last, at most some hundred lines; empty after the server was restarted."""
    return list(parts.clients.find(client).logs)


@routes.get("/clients/{client}/devices", summary="A machine's PCI and USB devices", responses=MISSING)
def show_devices(parts: Parts, client: Name) -> list[Device]:
    """As its client found them when it registered: ids (modalias) and driver of each."""
    return list(parts.clients.find(client).registration.devices)


@routes.post("/clients/{client}/boot-client", summary="Boot our client again", responses=MISSING)
def boot_client(parts: Parts, client: Name) -> ClientView:
    """A machine that was cast boots its disk; after this its next network boot is our client again."""
    found = parts.clients.find(client)
    parts.once.cancel(found)
    parts.clients.set_boots(found, BootDecision.CLIENT)
    return show_client(parts, client)


@routes.post("/clients/{client}/boot-disk", summary="Boot its own disk", responses=MISSING)
def boot_disk(parts: Parts, client: Name) -> ClientView:
    """Its network boots end at once from now on, so that its firmware goes on to the disk."""
    found = parts.clients.find(client)
    parts.once.cancel(found)
    parts.clients.set_boots(found, BootDecision.LOCAL)
    return show_client(parts, client)


@routes.post(
    "/clients/{client}/order", summary="Reboot or power off a client", responses=MISSING | REFUSED
)
def order(parts: Parts, client: Name, body: NewOrder) -> ClientView:
    """Refused while no client is connected, while it takes part in a cast or is captured."""
    found = parts.clients.find(client)
    with parts.clients.lock:
        if not found.online(parts.clients.clock()):
            raise Refused(f"no client is running on machine {found.id} now")
        busy = parts.casts.busy(found)
        if busy:
            raise Refused(f"machine {found.id} takes part in cast {busy}", hint="cancel the cast first")
        if found.capture:
            raise Refused(f"machine {found.id} is being captured", hint="cancel that capture first")
        parts.clients.order(found, Order(0, body.kind))
    return show_client(parts, client)


@routes.get("/images", summary="The images that can be cast")
def list_images(parts: Parts) -> list[ImageView]:
    """The library's, and those of the deploy medium in use; damaged ones too, with their problem."""
    return [image_view(shelved) for shelved in parts.library.all()]


@routes.get("/casts", summary="Every cast, the newest first")
def list_casts(parts: Parts) -> list[CastView]:
    """Ended ones included."""
    with parts.clients.lock:
        return [cast_view(c, parts.clients) for c in parts.casts.all()]


@routes.post("/casts", summary="Make a cast", status_code=201, responses=MISSING)
def create_cast(parts: Parts, caller: Viewer, body: NewCast) -> CastView:
    """Orders in every machine that is ready for it. Their disks are erased when the cast starts."""
    asked = replace(request_of(parts.clients, body), by=caller.name)
    cast = parts.casts.create(asked)
    return show_cast(parts, cast.id)


@routes.get("/casts/{cast}", summary="One cast", responses=MISSING)
def show_cast(parts: Parts, cast: Name) -> CastView:
    """Its state, its sender, and every machine's part in it."""
    with parts.clients.lock:
        return cast_view(parts.casts.get(cast), parts.clients)


@routes.get("/casts/{cast}/rates", summary="How fast a cast went", responses=MISSING)
def show_rates(parts: Parts, cast: Name) -> list[RateView]:
    """Samples over the whole cast, at most 180; none of before this server started."""
    with parts.clients.lock:
        samples = parts.rates.of(parts.casts.get(cast).id)
    return [RateView.model_validate(sample) for sample in samples]


@routes.get("/state", summary="Everything live, of one moment")
def state(parts: Parts, caller: Viewer, *, watching: bool = False) -> StateView:
    """Machines, casts, and network boots of machines not met yet. ``watching``: a person looks at what
    is shown of it, which counts as an open console for a minute.
    """
    if watching:
        parts.auth.sessions.saw(caller.role)
    return parts.state()


@routes.get("/events", summary="Everything live, as it changes", response_class=StreamingResponse)
async def events(parts: Parts, caller: Viewer, request: HttpRequest) -> StreamingResponse:
    """Server-sent events named `state`; the data of each is what `GET /state` answers."""
    return StreamingResponse(
        _events(parts, caller, request.state.token),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )


async def _events(parts: ServerParts, caller: Caller, token: str) -> AsyncIterator[str]:
    changed, auth, sent = parts.clients.changed, parts.auth, -1

    def over() -> bool:
        return parts.stopping.is_set() or not auth.holds(caller, token)

    # A token that listens counts too: so does the display in a terminal.
    with auth.sessions.watched(caller.role):
        while not over():
            text, seen = await anyio.to_thread.run_sync(parts.live.latest)
            if seen != sent:
                sent = seen
                yield f"event: state\ndata: {text}\n\n"
            await asyncio.sleep(PAUSE)
            while not over() and not await changed.wait(seen, KEEP_ALIVE):
                yield ": still here\n\n"
