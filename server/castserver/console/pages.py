"""The pages: log in, the live overview, and the API's document. Nothing comes from another host."""

import time
from pathlib import Path
from urllib.parse import parse_qs

import anyio.to_thread
from castcore import __version__
from castcore.units import human
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from castserver.access import Parts
from castserver.auth import COOKIE, SESSION_SECONDS
from castserver.casttable import clock
from castserver.console import apidoc, show
from castserver.parts import ServerParts
from castserver.views import image_view

HERE = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

routes = APIRouter(include_in_schema=False)
_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "human": human,
    "rate": show.rate,
    "mark": show.mark,
    "share": show.share,
    "clock": clock,
}
_templates.globals |= {
    "version": __version__,
    "joined": show.joined,
    "proven": show.proven,
    "receptions": show.receptions,
    "MOST_BOOTS": show.MOST_BOOTS,
}


def static_files() -> StaticFiles:
    """Style sheet and script."""
    return StaticFiles(directory=HERE / "static")


@routes.get("/")
def overview(request: Request, parts: Parts) -> Response:
    """Machines, casts and images, kept live."""
    if not _logged_in(request, parts):
        return RedirectResponse("/login", status_code=303)
    images = [image_view(shelved) for shelved in parts.library.all()]
    return _page("overview.html", images=images, **_live(parts))


@routes.get("/live")
def live(request: Request, parts: Parts) -> Response:
    """The live part of the overview alone; the script puts it into the page."""
    if not _logged_in(request, parts):
        return Response(status_code=401)
    return _page("live.html", **_live(parts))


@routes.get("/login")
def login_page(parts: Parts) -> Response:
    """Asks for the operator's token."""
    return _page("login.html", name=parts.name, wrong=False)


@routes.post("/login")
async def login(request: Request, parts: Parts) -> Response:
    """Opens a session for who knows the token."""
    form = parse_qs((await request.body()).decode(errors="replace"))
    token = form.get("token", [""])[0].strip()
    if not parts.auth.is_token(token):
        page = await anyio.to_thread.run_sync(lambda: _page("login.html", name=parts.name, wrong=True))
        page.status_code = 401
        return page
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(
        COOKIE,
        parts.auth.open_session(),
        max_age=SESSION_SECONDS,
        secure=True,
        httponly=True,
        samesite="strict",
    )
    return answer


@routes.post("/logout")
def logout(request: Request, parts: Parts) -> Response:
    """Closes the session."""
    parts.auth.close_session(request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
    return answer


@routes.get("/docs")
def docs(request: Request) -> Response:
    """The API, from the same OpenAPI document that /openapi.json gives."""
    document = request.app.openapi()
    return _page(
        "docs.html", info=document["info"], calls=apidoc.calls(document), models=apidoc.models(document)
    )


def _logged_in(request: Request, parts: ServerParts) -> bool:
    return parts.auth.is_session(request.cookies.get(COOKIE, ""))


def _live(parts: ServerParts) -> dict[str, object]:
    state, now = parts.state(), int(time.time())
    return {
        "name": parts.name,
        "state": state,
        "glance": show.glance(state),
        "ago": lambda seconds: show.moment(seconds, now),
    }


def _page(template: str, **values: object) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(template).render(**values), headers=HEADERS)
