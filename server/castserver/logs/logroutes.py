"""Logs: clients hand theirs in, the operator reads them or takes all of them home in one archive."""

from typing import Annotated

from castcore.archive import archive
from castcore.control import API, LOG_SIZE, MachineLog
from castcore.redact import redacted
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from castserver.api.access import Name, OwnClient, Parts, operator_routes
from castserver.api.messagebody import message
from castserver.api.views import ErrorView, Refusals
from castserver.logs import collecting
from castserver.logs.serverlog import own_logs
from castserver.machines.clientroutes import Accepted
from castserver.machines.clients import MOST_MACHINES

routes = APIRouter(prefix=API, tags=["clients"])
operators = operator_routes("operator")
_UNKNOWN: Refusals = {401: {"model": ErrorView, "description": "The token is unknown: register again"}}
_MISSING: Refusals = {
    404: {"model": ErrorView, "description": "There is no such machine, or no log of it"}
}


class LogView(BaseModel):
    """The log of one run of a client."""

    when: int | None
    reason: str
    kernel: str
    journal: str
    about: str


class Archive(Response):
    """A ``tar.gz``."""

    media_type = "application/gzip"


@routes.post("/clients/{client}/log", summary="Hand in the log of a run", responses=_UNKNOWN)
def hand_in(
    parts: Parts, client: OwnClient, log: Annotated[MachineLog, message(MachineLog)]
) -> Accepted:
    """When a cast has ended or failed; the last few of a machine are kept."""
    short = MachineLog(
        log.reason, *(redacted(t[-LOG_SIZE:]) for t in (log.kernel, log.journal, log.about))
    )
    parts.logs.note(client.id, short)
    return Accepted()


@operators.get(
    "/clients/{client}/log", summary="The log that a machine handed in last", responses=_MISSING
)
def last_log(parts: Parts, client: Name) -> LogView:
    """Kernel and client, of its last cast that ended or failed; empty when there was none."""
    kept = parts.logs.of(parts.clients.find(client).id)
    if not kept:
        return LogView(when=None, reason="", kernel="", journal="", about="")
    log = kept[0].log
    return LogView(
        when=kept[0].when, reason=log.reason, kernel=log.kernel, journal=log.journal, about=log.about
    )


@operators.get(
    "/logs", summary="Everything for support, in one archive", responses=_MISSING, response_class=Archive
)
def collect(
    parts: Parts,
    machine: Annotated[list[str] | None, Query(max_length=MOST_MACHINES)] = None,
) -> Archive:
    """A `tar.gz`: the state, the machines' hardware and logs, the server's own log; no secrets."""
    if machine:
        names = [parts.clients.find(name).id for name in machine]
    else:
        names = [client.id for client in parts.clients.all()]
    logs = [kept for name in names for kept in parts.logs.of(name)]
    state = parts.state().model_dump(mode="json", by_alias=True)
    found = collecting.files(
        parts.name, state, names, logs, own_logs(parts.logs.home), parts.auth.secrets()
    )
    return Archive(archive(collecting.FOLDER, found))
