"""Logs as pages: the end of the server's own, those that machines handed in, all in one archive."""

from __future__ import annotations

from castcore.control import API
from castcore.errors import NotFound
from fastapi import APIRouter, Request, Response

from castserver.api.access import Name, Parts
from castserver.console.paging import Pager
from castserver.console.visit import visited
from castserver.logs.logviewroutes import KeptLogView, machine_log, server_log
from castserver.machines.machinelabel import label_of
from castserver.parts import ServerParts

LINES = 200
ON_A_PAGE = 50

routes = APIRouter(include_in_schema=False)


@routes.get("/logs")
def logs(request: Request, parts: Parts) -> Response:
    """The server's log, and which logs of machines there are."""
    return visited(request, parts, "logs.html", lambda _: _values(request, parts))


@routes.get("/logs/{machine}/{number}")
def log_of_a_machine(request: Request, parts: Parts, machine: Name, number: int) -> Response:
    """What a machine's client wrote during one run."""

    def values(_: object) -> dict[str, object]:
        return {"log": _found(parts, machine, number), "label": label_of(parts.clients, machine)}

    return visited(request, parts, "machinelog.html", values)


def _found(parts: ServerParts, machine: str, number: int) -> KeptLogView | None:
    try:
        return machine_log(parts, machine, number)
    except NotFound:
        return None


def _values(request: Request, parts: ServerParts) -> dict[str, object]:
    kept = parts.logs.kept()
    pager = Pager.of(request.query_params.get("page", ""), len(kept), ON_A_PAGE)
    shown = kept[pager.offset : pager.offset + ON_A_PAGE]
    return {
        "lines": server_log(parts, LINES),
        "kept": [(file, label_of(parts.clients, file.machine)) for file in shown],
        "pager": pager,
        "place": "/logs?",
        "archive": f"{API}/logs",
    }
