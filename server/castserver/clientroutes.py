"""What clients call: who are you, here I am, what shall I do, this is how it goes."""

import asyncio
from typing import Annotated

from castcore import statement
from castcore.control import API, Order, Registered, Registration, Report
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from castserver.access import OwnClient, Parts
from castserver.clients import MOST_WAIT
from castserver.messagebody import message
from castserver.policy import pace
from castserver.views import ErrorView, Refusals

MOST_NUMBER = (1 << 63) - 1

routes = APIRouter(prefix=API, tags=["clients"])
_UNKNOWN: Refusals = {401: {"model": ErrorView, "description": "The token is unknown: register again"}}


class OrdersView(BaseModel):
    """Orders not seen yet, the oldest first."""

    orders: list[Order]


class Accepted(BaseModel):
    """The server has taken note."""


class Heard(BaseModel):
    """The server has taken note of a report."""

    pace: float = Field(description="seconds until it wants the next one, if only figures change")


@routes.get(statement.PATH.removeprefix(API), summary="Who this server is, signed by its key")
async def server(parts: Parts) -> Response:
    """Canonical JSON: key, certificate digest, URL, name, signature."""
    return Response(parts.statement, media_type="application/json")


@routes.post("/clients", summary="Register a client that has just started")
def register(parts: Parts, registration: Annotated[Registration, message(Registration)]) -> Registered:
    """A machine met before (UUID, serials) keeps its id; its older tokens end."""
    client, registered = parts.clients.register(registration)
    parts.boots.arrived(client.traits.macs, client.id)
    parts.captures.offer(client)
    parts.once.arrived(client)
    parts.casts.offer(client, restarted=True)
    return registered


@routes.get("/clients/{client}/orders", summary="Wait for orders (long poll)", responses=_UNKNOWN)
async def orders(
    parts: Parts,
    client: OwnClient,
    after: Annotated[int, Query(ge=0, le=MOST_NUMBER)] = 0,
    wait: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 0.0,
) -> OrdersView:
    """Answers at once when there is an order numbered above `after`, else within `wait` seconds."""
    clock = asyncio.get_running_loop().time
    end = clock() + min(wait, MOST_WAIT)
    while True:
        seen = client.signal.count
        found = [order for order in client.orders if order.number > after]
        left = end - clock()
        if found or left <= 0 or parts.stopping.is_set():
            return OrdersView(orders=found)
        await client.signal.wait(seen, left)


@routes.post("/clients/{client}/report", summary="Report state and progress", responses=_UNKNOWN)
def report(parts: Parts, client: OwnClient, report: Annotated[Report, message(Report)]) -> Heard:
    """With DONE it carries the proof: the root of what was verified on the disk."""
    kept = parts.clients.note(client, report)
    parts.captures.hear(client, kept)
    parts.casts.hear(client, kept)
    return Heard(pace=pace(parts.clients.present()))
