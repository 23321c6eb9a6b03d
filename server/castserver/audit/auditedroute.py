"""The route class of the operator's calls: whatever changes something gets into the audit log."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.to_thread
from castcore.errors import FleetcastError
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from castserver.accounts.auth import READING
from castserver.accounts.roles import Caller
from castserver.audit.auditchain import without_secrets

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class AuditedRoute(APIRoute):
    """Notes who called, what was asked and what came of it: of what changes something all, of reading
    what was refused. Who is not known is not noted: nobody would read what strangers can fill.
    """

    def get_route_handler(self) -> Handler:
        """The framework's own handler with a note after it."""
        handle = super().get_route_handler()
        reads = READING.issuperset(self.methods or ())

        async def audited(request: Request) -> Response:
            # Before anything is done: who cuts the request off later cannot keep it out of the log.
            body = await request.body()
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
                caller: Caller | None = getattr(request.state, "caller", None)
                if caller is not None and not (reads and getattr(request.state, "allowed", False)):
                    await _note(request, caller, body, outcome)

        return audited


async def _note(request: Request, caller: Caller, body: bytes, outcome: str) -> None:
    note = request.app.state.parts.audit.note
    action = f"{request.method} {request.url.path}"
    # A call whose body is no JSON says itself what was asked.
    detail = getattr(request.state, "detail", "") or _detail(body)
    await anyio.to_thread.run_sync(note, caller, address(request), action, detail, outcome)


def address(request: Request) -> str:
    """Where the request came from."""
    return request.client.host if request.client is not None else ""


def _detail(body: bytes) -> str:
    try:
        value = without_secrets(json.loads(body or b"{}"))
        return json.dumps(value, ensure_ascii=True) if value else ""
    except (ValueError, RecursionError):
        return ""
