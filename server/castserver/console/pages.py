"""The pages that show the server: the live overview, and the API's document."""

import time

from fastapi import APIRouter, Request, Response
from fastapi.staticfiles import StaticFiles

from castserver.access import Parts, caller_of
from castserver.console import apidoc, page, show
from castserver.console.visit import visited
from castserver.parts import ServerParts
from castserver.roles import Caller
from castserver.views import image_view

routes = APIRouter(include_in_schema=False)


def static_files() -> StaticFiles:
    """Style sheet and script."""
    return StaticFiles(directory=page.HERE / "static")


@routes.get("/")
def overview(request: Request, parts: Parts) -> Response:
    """Machines, casts and images, kept live."""

    def values(_: Caller) -> dict[str, object]:
        return {"images": [image_view(shelved) for shelved in parts.library.all()]} | _live(parts)

    return visited(request, parts, "overview.html", values)


@routes.get("/live")
def live(request: Request, parts: Parts) -> Response:
    """The live part of the overview alone; the script puts it into the page."""
    if caller_of(request, parts) is None:
        return Response(status_code=401)
    return page.render(request, "live.html", _live(parts))


@routes.get("/docs")
def docs(request: Request) -> Response:
    """The API, from the same OpenAPI document that /openapi.json gives."""
    document = request.app.openapi()
    calls, models = apidoc.calls(document), apidoc.models(document)
    return page.render(
        request, "docs.html", {"info": document["info"], "calls": calls, "models": models}
    )


def _live(parts: ServerParts) -> dict[str, object]:
    state, now = parts.state(), int(time.time())
    return {
        "name": parts.name,
        "state": state,
        "glance": show.glance(state),
        "now": now,
    }
