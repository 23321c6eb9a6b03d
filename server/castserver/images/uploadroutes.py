"""The calls by which a client uploads an image: begin, what is here, contents, digests, commit.

Bodies are taken by hand, one slot each, after the token was looked at: whatever many machines send at
a time, a bounded number of requests lies in memory.
"""

import threading
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from anyio import CapacityLimiter
from castcore.control import API
from castcore.errors import Busy, InUse, NotFound, Refused
from castcore.image import ChunkDecoder
from castcore.upload import (
    CONTENTS_LIMIT,
    DIGESTS_LIMIT,
    PLAN_LIMIT,
    UNREADABLE_LIMIT,
    UPLOADS,
    Committed,
    NewUpload,
    Opened,
    decode_contents,
    parse_unreadable,
)
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from starlette.requests import ClientDisconnect

from castserver.api.access import Parts, Unauthorised
from castserver.api.views import ErrorView, Refusals
from castserver.casts import castroutes
from castserver.casts.castroutes import Shown
from castserver.images.upload import Upload
from castserver.images.uploadstore import proven
from castserver.machines.clients import Client

T = TypeVar("T")

# Requests whose bodies are held: 32 MiB of contents; and plans, of which one takes as much.
RECEIVING, PLANNING, COMMITTING = 8, 1, 16
# A machine that does not get its turn in this time asks again; one that sends so slowly is cut off.
TURN_SECONDS, BODY_SECONDS = 20.0, 60.0

GIVEN_UP = NotFound("the machine gave this upload up")

routes = APIRouter(prefix=API, tags=["uploading an image"])
_REFUSED: Refusals = {
    401: {"model": ErrorView, "description": "The token is unknown: register again"},
    403: {"model": ErrorView, "description": "The name is taken, or the operator cancelled it"},
    404: {"model": ErrorView, "description": "There is no such upload: begin it again"},
    408: {"model": ErrorView, "description": "The request came too slowly"},
    413: {"model": ErrorView, "description": "The request is too large"},
    503: {"model": ErrorView, "description": "Too many machines upload just now: ask again"},
    507: {"model": ErrorView, "description": "The library's disk is full"},
}
_BYTES = {castroutes.BYTES: {"schema": {"type": "string", "format": "binary"}}}
_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": _BYTES}}
# Nothing at all is legal: no contents, no digests.
_ROWS: dict[str, Any] = {"requestBody": {"content": _BYTES}}
_receiving, _planning = CapacityLimiter(RECEIVING), CapacityLimiter(PLANNING)
_committing = CapacityLimiter(COMMITTING)
_local = threading.local()


async def uploader(parts: Parts, shown: Shown) -> Client:
    """The client that makes the request. Raises Unproven."""
    found = parts.clients.proven(shown)
    if found is None:
        raise Unauthorised("the token is unknown here", hint="register again")
    return found


Uploader = Annotated[Client, Depends(uploader)]
UploadId = Annotated[str, Path(max_length=64)]


async def own_upload(parts: Parts, client: Uploader, upload: UploadId) -> Upload:
    """The upload in the path, if it is the client's own."""
    return parts.captures.uploads.find(upload, client.id)


Own = Annotated[Upload, Depends(own_upload)]


@routes.post(
    "/uploads",
    summary="Begin to upload an image",
    status_code=201,
    responses=_REFUSED,
    openapi_extra=_BODY,
)
async def begin(request: Request, parts: Parts, client: Uploader) -> Opened:
    """What this machine sent for the same image before is kept: `held` says how much."""

    def work(data: bytes) -> Opened:
        new = NewUpload.parse(data)
        return parts.captures.begin(client, new).opened()

    return await _with_body(request, PLAN_LIMIT, _planning, work)


@routes.get(
    "/uploads/{upload}/held",
    summary="The contents that are here",
    response_class=castroutes.Bytes,
    responses=_REFUSED,
)
async def held(upload: Own) -> Response:
    """Their digests, 32 bytes each."""
    return castroutes.Bytes(await anyio.to_thread.run_sync(lambda: b"".join(upload.held())))


@routes.post(
    "/uploads/{upload}/chunks", summary="Contents of chunks", responses=_REFUSED, openapi_extra=_ROWS
)
async def chunks(request: Request, upload: Own) -> dict[str, Any]:
    """Each with its length, codec and digest; proven, then stored once. May be sent again."""

    def work(data: bytes) -> dict[str, Any]:
        decoder: ChunkDecoder | None = getattr(_local, "decoder", None)
        if decoder is None:
            decoder = _local.decoder = ChunkDecoder()
        upload.keep(proven(decode_contents(data), decoder))
        return {}

    return await _with_body(request, CONTENTS_LIMIT, _receiving, work)


@routes.post(
    "/uploads/{upload}/digests", summary="The digests of chunks", responses=_REFUSED, openapi_extra=_ROWS
)
async def digests(
    request: Request, upload: Own, first: Annotated[int, Query(ge=0, le=1 << 32)]
) -> dict[str, Any]:
    """Of those from number `first` on, 32 bytes each, in the order of the image."""

    def work(data: bytes) -> dict[str, Any]:
        upload.name_chunks(first, data)
        return {}

    return await _with_body(request, DIGESTS_LIMIT, _receiving, work)


@routes.post(
    "/uploads/{upload}/commit", summary="Make it an image", responses=_REFUSED, openapi_extra=_BODY
)
async def commit(request: Request, parts: Parts, upload: Own) -> Committed:
    """Complete or not at all; may be asked again. `missing` contents have to come first."""

    def work(data: bytes) -> Committed:
        done = upload.commit(parse_unreadable(data, upload.disks))
        if not done.missing:
            parts.captures.arrived(upload)
        return done

    return await _with_body(request, UNREADABLE_LIMIT, _committing, work)


@routes.post("/uploads/{upload}/abandon", summary="Give it up", responses=_REFUSED)
async def abandon(parts: Parts, upload: Own) -> dict[str, Any]:
    """Nothing of it stays."""
    await anyio.to_thread.run_sync(lambda: parts.captures.abandoned(upload, GIVEN_UP))
    return {}


async def _with_body(
    request: Request, limit: int, slots: CapacityLimiter, work: Callable[[bytes], T]
) -> T:
    """``work`` with the request's body, once there is a slot for it."""
    borrower = object()
    try:
        with anyio.fail_after(TURN_SECONDS):
            await slots.acquire_on_behalf_of(borrower)
    except TimeoutError:
        raise Busy("too many machines upload just now") from None
    try:
        body = await _body(request, limit)
        return await anyio.to_thread.run_sync(lambda: work(body), limiter=CapacityLimiter(1))
    except InUse as error:  # 409 would say that asking again helps
        raise Refused(error.what, hint=error.hint) from None
    finally:
        slots.release_on_behalf_of(borrower)


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    try:
        with anyio.fail_after(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > limit:
                    raise HTTPException(413, f"the request is larger than {limit} bytes")
    except ClientDisconnect:
        raise HTTPException(400, "the request was broken off") from None
    except TimeoutError:
        raise HTTPException(408, "the request came too slowly") from None
    return bytes(body)


def most_body(path: str) -> int | None:
    """What a request to ``path`` may hold, in bytes; None: it is no upload's, and no exception."""
    if path == UPLOADS:
        return PLAN_LIMIT
    return CONTENTS_LIMIT if path.startswith(f"{UPLOADS}/") else None
