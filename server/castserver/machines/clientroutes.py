"""What clients call: who are you, here I am, what shall I do, this is how it goes."""

import asyncio
import logging
from typing import Annotated

from castcore import __version__, statement
from castcore.control import API, CONTROL, Order, Registered, Registration, Report, Standing
from castcore.errors import BadPacket, Refused
from castcore.plain import MOST_BITS
from castcore.trust import KEY_SIZE
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from castserver.api.access import OwnClient, Parts
from castserver.api.messagebody import message
from castserver.api.views import ErrorView, Refusals
from castserver.casts.castroutes import CameBy, Shown
from castserver.machines.clients import MOST_WAIT
from castserver.seldom import Seldom
from castserver.wording import printable

MOST_NUMBER = (1 << 63) - 1
# The control number of clients that do not say theirs.
OLDEST = 1

log = logging.getLogger("fleetcast")
# It asks again every few seconds.
_refused = Seldom(600.0)
routes = APIRouter(prefix=API, tags=["clients"])
_UNPROVEN: Refusals = {
    401: {"model": ErrorView, "description": "Sign it with the nonce in the header Fleetcast-Nonce"},
    403: {
        "model": ErrorView,
        "description": "It speaks another version, or there are too many machines",
    },
    503: {"model": ErrorView, "description": "Too many register just now: ask again"},
}
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


async def sent_body(request: Request) -> bytes:
    """The body as it came, which the proof of a registration covers."""
    return await request.body()


async def same_version(request: Request, way: CameBy) -> None:
    """Refuse a client of another version, whose registration may have fields that are not known here.

    Comes before the strict reader, which refuses also what is nonsense here. Raises Refused.
    """
    try:
        said = await request.json()
    except (ValueError, RecursionError):
        return
    registers = isinstance(said, dict) and "version" in said
    control = said.get("control", OLDEST) if registers else CONTROL
    if type(control) is not int or control == CONTROL or control.bit_length() > MOST_BITS:
        return
    version = said.get("version", "")
    text = (
        f"the client is {'older' if control < CONTROL else 'newer'} than this server: it is version"
        f" {printable(version[:20]) if isinstance(version, str) else '?'} (control {control}),"
        f" this is {__version__} (control {CONTROL})"
    )
    if _refused.due(way.client):
        where = {"address": way.client}
        log.warning("the machine at %s was refused: %s", way.client, text, extra=where)
    raise Refused(
        text, hint="make the boot image anew with this server's media-builder, or update the server"
    )


@routes.post(
    "/clients",
    summary="Register a client that has just started",
    responses=_UNPROVEN,
    dependencies=[Depends(same_version)],
)
def register(
    parts: Parts,
    registration: Annotated[Registration, message(Registration)],
    shown: Shown,
    body: Annotated[bytes, Depends(sent_body)],
    way: CameBy,
) -> Registered:
    """A machine met before (UUID, serials) keeps its id; its older tokens end. Signed by its key over a
    nonce that the first answer (401) gives. Without `admitted` there is no token: ask again soon.
    """
    parts.clients.proofs.require_registration(shown, _key(registration), body)
    client, registered = parts.clients.register(registration, way.client)
    if registered.standing is not Standing.RIVAL:
        parts.boots.arrived(client.traits.macs, client.id)
    if registered.standing is Standing.ADMITTED:
        parts.captures.offer(client)
        parts.once.arrived(client)
        parts.casts.offer(client, restarted=True)
    return registered


def _key(registration: Registration) -> bytes:
    try:
        key = bytes.fromhex(registration.key)
    except ValueError:
        key = b""
    if len(key) != KEY_SIZE or registration.key != key.hex():
        raise BadPacket(f"the key of a client is {KEY_SIZE} bytes in lower-case hex")
    return key


@routes.get("/clients/{client}/orders", summary="Wait for orders (long poll)", responses=_UNKNOWN)
async def orders(
    parts: Parts,
    client: OwnClient,
    after: Annotated[int, Query(ge=0, le=MOST_NUMBER)] = 0,
    wait: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 0.0,
) -> OrdersView:
    """Answers at once when there is an order numbered above `after`, else within `wait` seconds."""
    clock = asyncio.get_running_loop().time
    end, session, asked = clock() + min(wait, MOST_WAIT), client.token_hash, client.trust.asked
    while True:
        seen = client.signal.count
        if client.token_hash != session or client.trust.asked != asked:
            return OrdersView(orders=[])  # ask again: who is it that waits here?
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
    return Heard(pace=parts.pace.seconds())
