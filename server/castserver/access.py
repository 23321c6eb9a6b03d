"""The two gates of the API, as dependencies: a client's token, and the operator's token or session."""

from typing import Annotated

from castcore.control import API
from castcore.errors import FleetcastError
from fastapi import APIRouter, Depends, Path, Request

from castserver.auth import CONSOLE_HEADER, COOKIE
from castserver.castroutes import Token
from castserver.clients import Client
from castserver.parts import ServerParts
from castserver.views import ErrorView


class Unauthorised(FleetcastError):
    """The request carries no token or session that may do this; answered with status 401."""


def server_parts(request: Request) -> ServerParts:
    """The server behind the application."""
    parts = request.app.state.parts
    assert isinstance(parts, ServerParts)
    return parts


Parts = Annotated[ServerParts, Depends(server_parts)]
Name = Annotated[str, Path(max_length=64)]


async def own_client(parts: Parts, client: Name, token: Token) -> Client:
    """The client whose id is in the path, if ``token`` is its own."""
    found = parts.clients.by_token(token)
    if found is None or found.id != client:
        raise Unauthorised("the token is not this client's", hint="register again")
    return found


async def operator(request: Request, parts: Parts, token: Token) -> None:
    """Let the operator pass."""
    allowed = parts.auth.allows(
        token=token,
        session=request.cookies.get(COOKIE, ""),
        method=request.method,
        from_console=CONSOLE_HEADER in request.headers,
    )
    if not allowed:
        raise Unauthorised(
            "only the operator may do this",
            hint="send the token that lies in the server's state directory",
        )


OwnClient = Annotated[Client, Depends(own_client)]


def operator_routes(tag: str, path: str = "") -> APIRouter:
    """The operator's own routes below ``path`` of the API, under ``tag`` in its document."""
    return APIRouter(
        prefix=f"{API}{path}",
        tags=[tag],
        dependencies=[Depends(operator)],
        responses={401: {"model": ErrorView, "description": "Not the operator"}},
    )
