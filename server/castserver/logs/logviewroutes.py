"""Logs to look at: the end of the server's own, which of machines are kept, and one of them."""

from typing import Annotated

from castcore.errors import NotFound
from castcore.redact import redacted
from fastapi import Path, Query
from pydantic import Field

from castserver.api.access import Name, Parts, operator_routes
from castserver.api.viewbase import View
from castserver.api.views import ErrorView, Refusals
from castserver.logs.serverlog import log_tail
from castserver.parts import ServerParts

MOST_LINES = 5000
MOST_LISTED = 3000

_MISSING: Refusals = {404: {"model": ErrorView, "description": "There is no such log"}}

routes = operator_routes("logs", "/logs")


class LogFileView(View):
    """A log that a machine handed in."""

    machine: str
    number: int = Field(description="counts the machine's logs")
    when: int = Field(description="Unix seconds")
    size: int = Field(description="bytes of its file")


class KeptLogView(View):
    """What a machine's client wrote during one run."""

    machine: str
    number: int
    when: int
    reason: str
    kernel: str
    journal: str
    about: str


@routes.get("/server", summary="The end of the server's own log")
def show_server_log(parts: Parts, lines: Annotated[int, Query(ge=1, le=MOST_LINES)] = 200) -> list[str]:
    """The newest line last; without secrets."""
    return server_log(parts, lines)


def server_log(parts: ServerParts, lines: int) -> list[str]:
    """The same for a page."""
    text = "\n".join(log_tail(parts.logs.home, lines))
    return redacted(text, parts.auth.secrets()).splitlines()


@routes.get("/machines", summary="Which logs of machines are kept")
def list_machine_logs(parts: Parts) -> list[LogFileView]:
    """The newest first."""
    return [LogFileView.model_validate(file) for file in parts.logs.kept()[:MOST_LISTED]]


@routes.get("/machines/{machine}/{number}", summary="One log of a machine", responses=_MISSING)
def show_machine_log(
    parts: Parts, machine: Name, number: Annotated[int, Path(ge=1, le=999_999)]
) -> KeptLogView:
    """Kernel, client, and what it said of the machine."""
    return machine_log(parts, machine, number)


def machine_log(parts: ServerParts, machine: str, number: int) -> KeptLogView:
    """The same for a page. Raises NotFound."""
    # By the machine's own id: a name from the network is never a path.
    for kept in parts.logs.of(parts.clients.get(machine).id):
        if kept.number == number:
            log = kept.log
            return KeptLogView(
                machine=kept.machine,
                number=number,
                when=kept.when,
                reason=log.reason,
                kernel=log.kernel,
                journal=log.journal,
                about=log.about,
            )
    raise NotFound(f"machine {machine} has no log {number} here", hint="`fleetcast logs list` shows all")
