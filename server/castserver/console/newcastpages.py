"""What the console asks before a cast is made: whom it is for, and what it would do to their disks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from castcore.disk import DiskFacts
from castcore.errors import FleetcastError, NotFound
from castcore.units import human
from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import JSONResponse

from castserver.api.access import Parts, caller_of
from castserver.casts import castmodel
from castserver.casts.castfit import Outlook, Verdict
from castserver.casts.castpreview import Preview, preview
from castserver.console import page
from castserver.console.castform import Wrong, asked_of
from castserver.console.room import names
from castserver.machines.clients import Clients
from castserver.machines.machinetargets import Words, targeted
from castserver.parts import ServerParts

# Machines that a question names at once; the others can be unfolded, as many as these.
MOST_NAMED, MOST_UNFOLDED = 8, 500

routes = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Meant:
    """A machine by its name, the disks that it loses in words, and what speaks against it."""

    name: str
    disks: str
    reason: str


@routes.get("/ask/machines")
def ask_machines(
    request: Request,
    parts: Parts,
    group: Annotated[Words | None, Query()] = None,
    tag: Annotated[Words | None, Query()] = None,
) -> Response:
    """How many machines are in one of the groups and have all of the tags, in the reader's language."""
    if caller_of(request, parts) is None:
        return Response(status_code=401)
    found, problem = frozenset[str](), ""
    try:
        found = targeted(parts.clients, None, group, tag) or frozenset()
    except FleetcastError as error:
        problem = error.what
    values = {"count": len(found), "connected": len(found & _online(parts)), "problem": problem}
    return page.render(request, "ask/machines.html", values)


@routes.post("/ask/cast")
def ask_cast(request: Request, parts: Parts, body: Annotated[dict[str, Any], Body()]) -> Response:
    """What making the cast of ``body`` (the API's `NewCast`) would do.

    422 with ``field``, ``error`` and ``hint`` when a field makes no sense.
    """
    if caller_of(request, parts) is None:
        return Response(status_code=401)
    asked = asked_of(parts.clients, body)
    try:
        found = None if isinstance(asked, Wrong) else _previewed(parts, asked)
    except NotFound as error:
        asked = Wrong("image", error.what, error.hint)
    if isinstance(asked, Wrong):
        return JSONResponse(asdict(asked), status_code=422, headers=page.HEADERS)
    return page.render(request, "ask/cast.html", _question(parts, asked, found))


def _previewed(parts: ServerParts, asked: castmodel.Request) -> Preview | None:
    """What the cast would do; None: its image cannot be read. Raises NotFound: there is none."""
    try:
        return preview(asked, parts.casts, parts.clients, parts.library, parts.casts.own_rules)
    except NotFound:
        raise
    except FleetcastError:  # the call that makes the cast will say so
        return None


def _question(
    parts: ServerParts, asked: castmodel.Request, found: Preview | None
) -> Mapping[str, object]:
    rules = asked.rules
    told = _by_verdict(parts.clients, found.machines) if found is not None else {}
    misfits = told.get(Verdict.MISFIT, [])
    everybody = rules.targets is None
    if rules.targets is not None:
        machines = len(rules.targets) - len(misfits)
    elif found is not None:
        machines = len(told.get(Verdict.ERASED, []))
    else:
        machines = sum(one.state == "ready" for one in parts.state().clients)
    return {
        "image": asked.image.rpartition("/")[2],
        "machines": machines,
        "everybody": everybody,
        "count": rules.start_clients,
        "seconds": rules.start_after,
        "turns": rules.most_at_once,
        "own_rules": bool(asked.disk_rules),
        "erased": told.get(Verdict.ERASED, []),
        "absent": told.get(Verdict.ABSENT, []),
        "busy": told.get(Verdict.BUSY, []),
        "misfits": misfits,
        "left": found.licences.count if found is not None else None,
        "short": found is not None and found.licences.short(found.needed),
        "MOST_NAMED": MOST_NAMED,
        "MOST_UNFOLDED": MOST_UNFOLDED,
    }


def _by_verdict(clients: Clients, machines: Mapping[str, Outlook]) -> dict[Verdict, list[Meant]]:
    """The machines by what becomes of them, in the order of their names."""
    told: dict[Verdict, list[Meant]] = {}
    for name, machine in machines.items():
        label = names(clients.get(name).label)[0]
        # That one is not here is said of them all.
        reason = "" if machine.verdict is Verdict.ABSENT else machine.reason
        one = Meant(label, ", ".join(map(_disk, machine.disks)), reason)
        told.setdefault(machine.verdict, []).append(one)
    return {verdict: sorted(listed, key=lambda one: one.name) for verdict, listed in told.items()}


def _disk(disk: DiskFacts) -> str:
    return " ".join(filter(None, (disk.path, disk.model, human(disk.size))))


def _online(parts: ServerParts) -> frozenset[str]:
    now = parts.clients.clock()
    return frozenset(client.id for client in parts.clients.all() if client.online(now))
