"""Style sheet and scripts, and the page of the API's document."""

from fastapi import APIRouter, Request, Response
from fastapi.staticfiles import StaticFiles

from castserver.console import apidoc, page

routes = APIRouter(include_in_schema=False)


def static_files() -> StaticFiles:
    """Style sheet and script."""
    return StaticFiles(directory=page.HERE / "static")


@routes.get("/docs")
def docs(request: Request) -> Response:
    """The API, from the same OpenAPI document that /openapi.json gives."""
    document = request.app.openapi()
    calls, models = apidoc.calls(document), apidoc.models(document)
    return page.render(
        request, "docs.html", {"info": document["info"], "calls": calls, "models": models}
    )
