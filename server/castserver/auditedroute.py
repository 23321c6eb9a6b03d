"""The route class of the operator's calls: whatever changes something gets into the audit log."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.to_thread
from castcore.errors import FleetcastError
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from castserver.auditchain import without_secrets
from castserver.auth import READING
from castserver.roles import Caller

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class AuditedRoute(APIRoute):
    """Notes who called, what was asked and what came of it; who is not known is noted by the gate."""

    def get_route_handler(self) -> Handler:
        """The framework's own handler with a note after it."""
        handle = super().get_route_handler()

        async def audited(request: Request) -> Response:
            outcome = ""
            try:
                return await handle(request)
            except FleetcastError as error:
                outcome = error.what
                raise
            except RequestValidationError:
                outcome = "malformed"
                raise
            except Exception as error:
                outcome = f"internal error: {error!r}"
                raise
            finally:
                await _note(request, outcome)

        return handle if READING.issuperset(self.methods or ()) else audited


async def _note(request: Request, outcome: str) -> None:
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        return
    detail = _detail(await request.body())
    note = request.app.state.parts.audit.note
    action = f"{request.method} {request.url.path}"
    await anyio.to_thread.run_sync(note, caller, address(request), action, detail, outcome)


def address(request: Request) -> str:
    """Where the request came from."""
    return request.client.host if request.client is not None else ""


def _detail(body: bytes) -> str:
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return ""
    return json.dumps(without_secrets(value), ensure_ascii=True) if value else ""
