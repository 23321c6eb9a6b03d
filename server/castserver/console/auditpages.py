"""The audit log as a page: filters, a page of entries, and whether its chain holds."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from castserver.accounts.roles import Role
from castserver.api.access import Parts
from castserver.audit.auditroutes import Asked, proof
from castserver.console.forms import understood
from castserver.console.visit import visited
from castserver.parts import ServerParts

ON_A_PAGE = 100

routes = APIRouter(include_in_schema=False)


@routes.get("/audit")
def audit(request: Request, parts: Parts) -> Response:
    """Who did what; for an administrator."""
    return visited(request, parts, "audit.html", lambda _: _values(request, parts), needed=Role.ADMIN)


def _values(request: Request, parts: ServerParts) -> dict[str, object]:
    fields = dict(request.query_params)
    asked, wrong = understood(Asked, fields)
    given = asked.model_dump(mode="json", exclude_defaults=True)
    before = fields.get("before", "")
    number = int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None
    # One more than is shown tells whether there are older ones.
    found = parts.audit.page(number, ON_A_PAGE + 1, asked.question())
    return {
        "asked": asked,
        "wrong": wrong,
        "filtered": bool(given),
        "entries": found[:ON_A_PAGE],
        "older": len(found) > ON_A_PAGE,
        "first": number is None,
        "place": "/audit?" + "".join(f"{pair}&" for pair in [urlencode(given)] if pair),
        "proof": proof(parts.audit) if "verify" in fields else None,
    }
