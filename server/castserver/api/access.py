"""The gates of the API, as dependencies: a client's token and proof; a caller's session, token, role."""

from typing import Annotated

from castcore.control import API
from castcore.errors import FleetcastError, Refused
from fastapi import APIRouter, Depends, Path, Request

from castserver.accounts.auth import CONSOLE_HEADER, READING
from castserver.accounts.roles import Caller, Role
from castserver.accounts.sessions import COOKIE
from castserver.api.views import ErrorView
from castserver.audit.auditedroute import AuditedRoute
from castserver.casts.castroutes import Shown, Token
from castserver.machines.clients import Client
from castserver.parts import ServerParts

# What the console asks for again and again by itself: no sign of a person.
RENEWING = frozenset(
    {"/live", "/live/events", "/live/here", "/machines/rows", f"{API}/events", f"{API}/state"}
)


class Unauthorised(FleetcastError):
    """The request carries no token or session that may do this; answered with status 401."""


def server_parts(request: Request) -> ServerParts:
    """The server behind the application."""
    parts = request.app.state.parts
    assert isinstance(parts, ServerParts)
    return parts


Parts = Annotated[ServerParts, Depends(server_parts)]
Name = Annotated[str, Path(max_length=64)]


async def own_client(parts: Parts, client: Name, shown: Shown) -> Client:
    """The client whose id is in the path, if the request is proven to be its own. Raises Unproven."""
    found = parts.clients.proven(shown)
    if found is None or found.id != client:
        raise Unauthorised("the token is not this client's", hint="register again")
    return found


def caller_of(request: Request, parts: ServerParts, token: str = "") -> Caller | None:
    """Who ``request`` comes from; None: nobody we know."""
    return parts.auth.caller(
        token=token,
        session=request.cookies.get(COOKIE, ""),
        method=request.method,
        from_console=CONSOLE_HEADER in request.headers,
        used=request.url.path not in RENEWING,
    )


async def viewer(request: Request, parts: Parts, token: Token) -> Caller:
    """Let everybody pass who is known."""
    found = caller_of(request, parts, token)
    if found is None:
        raise Unauthorised(
            "only the operator may do this",
            hint="log in, or send the token that lies in the server's state directory",
        )
    request.state.caller, request.state.token = found, token
    return found


Viewer = Annotated[Caller, Depends(viewer)]


async def operator(request: Request, caller: Viewer) -> Caller:
    """Let those pass who may: a viewer may read, an operator change things."""
    return _require(request, caller, Role.VIEWER if request.method in READING else Role.OPERATOR)


async def anybody(request: Request, caller: Viewer) -> Caller:
    """Let everybody pass who is known, whatever the role."""
    return _require(request, caller, Role.VIEWER)


async def admin(request: Request, caller: Viewer) -> Caller:
    """Let an administrator pass."""
    return _require(request, caller, Role.ADMIN)


def _require(request: Request, caller: Caller, needed: Role) -> Caller:
    if not caller.role.may(needed):
        raise Refused(
            f"{caller.name} is {_article(caller.role)}, this takes {_article(needed)}",
            hint="an administrator can change the role",
        )
    request.state.allowed = True
    return caller


def _article(role: Role) -> str:
    return f"a {role}" if role is Role.VIEWER else f"an {role}"


OwnClient = Annotated[Client, Depends(own_client)]
Admin = Annotated[Caller, Depends(admin)]


def operator_routes(tag: str, path: str = "") -> APIRouter:
    """Routes below ``path`` of the API, tagged ``tag`` in its document: viewers read, operators act."""
    return _routes(tag, path, operator)


def viewer_routes(tag: str, path: str = "") -> APIRouter:
    """The same for what everybody may who is known, changes included."""
    return _routes(tag, path, anybody)


def admin_routes(tag: str, path: str = "") -> APIRouter:
    """The same for what only an administrator may, reading included."""
    return _routes(tag, path, admin)


def _routes(tag: str, path: str, gate: object) -> APIRouter:
    return APIRouter(
        prefix=f"{API}{path}",
        tags=[tag],
        route_class=AuditedRoute,
        dependencies=[Depends(gate)],  # type: ignore[arg-type]
        responses={
            401: {"model": ErrorView, "description": "Nobody we know"},
            403: {"model": ErrorView, "description": "The role, or the state of things, forbids it"},
        },
    )
