"""The settings as a page: what can be changed while the server runs, and what serve's options say."""

from __future__ import annotations

from castcore.boot import WantedMode
from fastapi import APIRouter, Request, Response

from castserver.api.access import Parts
from castserver.console.visit import visited
from castserver.netboot.bootstate import DeployEnd
from castserver.netboot.bootviews import booting_view
from castserver.netboot.leaseroutes import list_leases, list_reservations
from castserver.parts import ServerParts

routes = APIRouter(include_in_schema=False)


@routes.get("/settings")
def settings(request: Request, parts: Parts) -> Response:
    """PXE deploy with what ends it, every interface, addresses, who is let in, and the rest."""
    return visited(request, parts, "settings.html", lambda _: _values(parts))


def _values(parts: ServerParts) -> dict[str, object]:
    return {
        "pxe": booting_view(parts.booting.state()),
        "wanted": list(WantedMode),
        "ends": list(DeployEnd),
        "told": parts.told,
        "approvals": parts.approvals,
        "waiting": len(parts.approvals.waiting()),
        "everyone": parts.leases.rules().everyone,
        "reservations": list_reservations(parts),
        "leases": list_leases(parts),
    }
