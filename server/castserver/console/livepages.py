"""The live pages: the overview and each cast's room, and the one stream that keeps them live."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from markupsafe import Markup

from castserver.accounts.roles import Caller
from castserver.api.access import Name, Parts, caller_of
from castserver.api.board import BELOW, ROOT, Board
from castserver.api.liveboards import PAUSE, LiveBoard
from castserver.console import page
from castserver.console.castimages import cast_images
from castserver.console.languages import Language
from castserver.console.overviewboard import CAST_IMAGES, CAST_MARKS, OverviewDrawing
from castserver.console.roomboard import RoomDrawing
from castserver.console.visit import visited
from castserver.parts import ServerParts

# A sign of life at least so often, in seconds.
KEEP_ALIVE = 10.0
# A pause is waited in so many steps.
STEPS = 5

routes = APIRouter(include_in_schema=False)


@routes.get("/")
async def overview(request: Request, parts: Parts) -> Response:
    """Machines and casts, and the images for a new one, kept live."""
    return await _page(request, parts, "overview.html", "")


@routes.get("/live")
async def live(request: Request, parts: Parts) -> Response:
    """The live part of the overview alone."""
    if caller_of(request, parts) is None:
        return Response(status_code=401)
    versions = await parts.boards.look(_board(request, parts, ""))
    text = "\n".join(versions.board.whole(name) for name in (ROOT, BELOW))
    return Response(text, media_type="text/html", headers=page.HEADERS)


@routes.get("/casts/{cast}")
async def cast_page(request: Request, parts: Parts, cast: Name) -> Response:
    """The room of one cast, kept live."""
    return await _page(request, parts, "room.html", cast)


@routes.get("/live/events")
async def events(
    request: Request, parts: Parts, cast: str = "", since: Annotated[str, Query(max_length=40)] = ""
) -> Response:
    """Server-sent events named `board`: what changed of the overview, or of the room of ``cast``.

    ``since`` is the mark of what the page shows already; the data of each event: `board.Versions.since`.
    """
    caller = caller_of(request, parts)
    if caller is None:
        return Response(status_code=401)
    board = _board(request, parts, parts.casts.get(cast).id if cast else "")
    over = partial(_over, parts, caller)
    mark = request.headers.get("last-event-id") or since
    stream = _events(parts, caller, board, mark, over)
    return StreamingResponse(stream, media_type="text/event-stream", headers=page.HEADERS)


@routes.get("/live/here")
async def here(request: Request, parts: Parts) -> Response:
    """What every open page asks now and then: somebody's console is open."""
    return Response(status_code=401 if caller_of(request, parts) is None else 204)


async def _page(
    request: Request,
    parts: ServerParts,
    template: str,
    cast: str,
) -> Response:
    if caller_of(request, parts) is None:
        return page.to_login()
    if cast:
        parts.casts.get(cast)  # one that does not exist has no page
    versions = await parts.boards.look(_board(request, parts, cast))
    whole = versions.board.whole
    lists = {"live": ROOT, "below": BELOW} | {
        at.replace("-", "_"): at for at in (CAST_IMAGES, *CAST_MARKS)
    }
    shown: dict[str, object] = {name: Markup(whole(at)) for name, at in lists.items()}
    shown |= {"mark": versions.mark, "cast": cast}

    def filled() -> Response:
        return visited(request, parts, template, lambda _: shown)

    return await anyio.to_thread.run_sync(filled)


def _board(request: Request, parts: ServerParts, cast: str) -> LiveBoard:
    """What the reader sees live of ``cast``, "" for the overview."""
    language = page.language_of(request)
    return parts.boards.at((language.value, cast), _drawing(parts, cast, language))


def _drawing(parts: ServerParts, cast: str, language: Language) -> Callable[[], Board]:
    if not cast:
        return OverviewDrawing(parts.state, cast_images(parts.library), language)
    return RoomDrawing(partial(parts.room, cast), language)


def _over(parts: ServerParts, caller: Caller) -> bool:
    return parts.stopping.is_set() or not parts.auth.holds(caller, "")


async def _events(
    parts: ServerParts, caller: Caller, board: LiveBoard, mark: str, over: Callable[[], bool]
) -> AsyncIterator[str]:
    with parts.auth.sessions.watched(caller.role):
        while not over():
            versions = await parts.boards.look(board, PAUSE)
            if versions.mark != mark:
                yield f"id: {versions.mark}\nevent: board\ndata: {versions.since(mark)}\n\n"
                mark = versions.mark
            await _pause(parts)
            if not over() and not await parts.boards.changed.wait(board.count, KEEP_ALIVE):
                yield ": still here\n\n"


async def _pause(parts: ServerParts) -> None:
    """Wait PAUSE seconds; in steps, so that a server that stops need not cut the stream off."""
    for _ in range(STEPS):
        if not parts.stopping.is_set():
            await asyncio.sleep(PAUSE / STEPS)
