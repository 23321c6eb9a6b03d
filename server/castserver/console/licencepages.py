"""The licences of every medium: what is left of each, and who took one when."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from castserver.api.access import Parts
from castserver.console.paging import Pager
from castserver.console.visit import visited
from castserver.licences.licenceviews import ledger_views
from castserver.machines.machinelabel import label_of
from castserver.parts import ServerParts

ON_A_PAGE = 50

routes = APIRouter(include_in_schema=False)


@routes.get("/licences")
def licences(request: Request, parts: Parts) -> Response:
    """The ledgers of connected media, and the licences that casts took."""
    return visited(request, parts, "licencepage.html", lambda _: _values(request, parts))


def _values(request: Request, parts: ServerParts) -> dict[str, object]:
    uses = parts.licence_uses
    pager = Pager.of(request.query_params.get("page", ""), uses.count(""), ON_A_PAGE)
    taken = uses.page("", pager.offset, ON_A_PAGE)
    ledgers = ledger_views(parts.casts.licensing)
    return {
        "ledgers": ledgers,
        "media": {ledger.ledger: ledger.medium for ledger in ledgers if ledger.ledger},
        "taken": [(use, label_of(parts.clients, use.machine)) for use in taken],
        "pager": pager,
        "place": "/licences?",
    }
