"""The web application: routes, one shape for every error, and a bound on what a request may hold."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from castcore import __version__
from castcore.control import API
from castcore.errors import (
    BadImage,
    BadPacket,
    Busy,
    FleetcastError,
    InUse,
    NoSpace,
    NotFound,
    Refused,
    Untrusted,
)
from castcore.proof import NONCE_HEADER
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from castserver.accounts import accountroutes
from castserver.accounts.attempts import TooManyAttempts
from castserver.api import metricsroutes, operatorroutes, settingroutes
from castserver.api.access import Unauthorised, server_parts
from castserver.api.apidocument import Application
from castserver.api.turns import Turns
from castserver.api.views import ErrorView
from castserver.audit import auditroutes
from castserver.captures import captureroutes
from castserver.casts import castcontrolroutes, castpreviewroutes, castroutes, durableroutes
from castserver.console import (
    accountpages,
    askpages,
    auditpages,
    bootimagepages,
    historypages,
    imagepages,
    languagepages,
    licencepages,
    livepages,
    logpages,
    machineasks,
    machinepages,
    newcastpages,
    pages,
    settingpages,
)
from castserver.console.errorpage import error_page, read_by_people
from castserver.history import historyroutes
from castserver.images import imageroutes, uploadroutes
from castserver.licences import licenceroutes
from castserver.logs import logroutes, logviewroutes
from castserver.machines import approvalroutes, clientroutes, machineroutes
from castserver.machines.proofs import Unproven
from castserver.media import mediaroutes
from castserver.netboot import bootimageroutes, bootroutes, leaseroutes, storyroutes

# A registration with dozens of disks and hundreds of partitions stays far below.
MOST_BODY = 1 << 20
ABOUT = """Clients register, wait for orders, take part in casts and report; operators make casts.
Clients carry the token that registering gave them; people a session, scripts a token of their own.
A viewer may read, an operator change things, an administrator keep accounts."""
# pinned.py's clients tell these apart: 401/403 refuse, 404 does not exist, others may pass with time.
STATUS: tuple[tuple[type[FleetcastError], int], ...] = (
    (Unauthorised, 401),
    (Unproven, 401),
    (NotFound, 404),
    (Refused, 403),
    (Untrusted, 403),
    (InUse, 409),
    (BadPacket, 422),
    (TooManyAttempts, 429),
    (Busy, 503),
    (NoSpace, 507),
)


class AppCasts(durableroutes.Remembering, licenceroutes.Claiming, Protocol):
    """The casts, as the routes for clients need them."""


def make_app(name: str, casts: AppCasts) -> FastAPI:
    """The application of the server called ``name``; its ``state.parts`` are to be set."""
    app = Application(
        title=f"Fleetcast: {name}",
        version=__version__,
        description=ABOUT,
        # The framework's own pages load from the internet; ours (console) render the same document.
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        responses={422: {"model": ErrorView}},  # in place of the framework's own shape
    )
    app.include_router(clientroutes.routes)
    app.include_router(castroutes.router(casts), prefix=API)
    app.include_router(durableroutes.router(casts), prefix=API)
    app.include_router(licenceroutes.router(casts), prefix=API)
    app.include_router(licenceroutes.routes)
    app.include_router(uploadroutes.routes)
    app.include_router(operatorroutes.routes)
    app.include_router(machineroutes.routes)
    app.include_router(castcontrolroutes.routes)
    app.include_router(castpreviewroutes.routes)
    for approval in approvalroutes.both():
        app.include_router(approval)
    app.include_router(captureroutes.routes)
    app.include_router(mediaroutes.routes)
    app.include_router(bootroutes.routes)
    app.include_router(leaseroutes.routes)
    app.include_router(storyroutes.routes)
    app.include_router(historyroutes.routes)
    app.include_router(imageroutes.routes)
    app.include_router(logroutes.routes)
    app.include_router(logroutes.operators)
    app.include_router(logviewroutes.routes)
    app.include_router(settingroutes.routes)
    app.include_router(bootimageroutes.routes)
    app.include_router(metricsroutes.routes)
    app.include_router(accountroutes.own)
    app.include_router(accountroutes.routes)
    app.include_router(auditroutes.routes)
    app.include_router(livepages.routes)
    app.include_router(askpages.routes)
    app.include_router(newcastpages.routes)
    app.include_router(pages.routes)
    app.include_router(historypages.routes)
    app.include_router(imagepages.routes)
    app.include_router(licencepages.routes)
    app.include_router(auditpages.routes)
    app.include_router(logpages.routes)
    app.include_router(settingpages.routes)
    app.include_router(bootimagepages.routes)
    app.include_router(machineasks.routes)
    app.include_router(machinepages.routes)
    app.include_router(accountpages.routes)
    app.include_router(languagepages.routes)
    app.mount("/static", pages.static_files())
    app.add_middleware(BoundedBody)
    app.add_middleware(Turns, most=MOST_BODY)
    app.add_exception_handler(FleetcastError, _fleetcast_error)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http_error)
    return app


def _fleetcast_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FleetcastError)
    answer = _error(request, _status(request, error), error.what, error.hint)
    if isinstance(error, Unproven):
        answer.headers[NONCE_HEADER] = error.nonce
    return answer


def _status(request: Request, error: FleetcastError) -> int:
    # A client asks again, another disk may read it; an operator is to choose another image.
    if isinstance(error, BadImage) and hasattr(request.state, "caller"):
        return 403
    return next((code for kind, code in STATUS if isinstance(error, kind)), 500)


def _malformed(request: Request, error: Exception) -> Response:
    # What was sent is not sent back: it may be huge, secret, or no text at all.
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"])
    return _error(request, 422, f"{where}: {first['msg']}", "see /docs for what this call takes")


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return _error(request, error.status_code, str(error.detail), "", headers)


def _allowed(request: Request) -> str:
    """Every method that the path of ``request`` takes; the framework knows those of one route only."""
    routes = [r for r in request.app.routes if r.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({m for route in routes for m in getattr(route, "methods", None) or ()}))


def _error(
    request: Request, status: int, what: str, hint: str, headers: Mapping[str, str] | None = None
) -> Response:
    text = {"error": what, "hint": hint}
    clean = {k: v.encode(errors="replace").decode() for k, v in text.items()}
    if read_by_people(request):
        return error_page(request, server_parts(request), status, clean["error"], clean["hint"])
    return JSONResponse(clean, status_code=status, headers=headers)


class BoundedBody:
    """Refuses a request body over ``MOST_BODY`` bytes (an upload's: more) before it is held."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        http = scope["type"] == "http"
        if http:
            path = scope["path"]
            most = uploadroutes.most_body(path) or machineroutes.most_body(path) or MOST_BODY
            receive = _bounded(receive, most)
        await self._app(scope, receive, send)


def _bounded(receive: Receive, most: int) -> Callable[[], Awaitable[Message]]:
    left = most

    async def bounded() -> Any:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, f"the request is larger than {most} bytes")
        return message

    return bounded
