"""The operator's hand on one cast: start, pause, resume, retry, cancel."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from castserver.api.access import Name, Parts, Viewer, operator_routes
from castserver.api.operatorroutes import MISSING, REFUSED, show_cast
from castserver.api.views import CastView
from castserver.casts.castwish import MOST_CLIENTS

routes = operator_routes("operator", "/casts/{cast}")


class Retry(BaseModel):
    """Which machines to order again."""

    model_config = ConfigDict(extra="forbid")

    clients: (
        Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MOST_CLIENTS)] | None
    ) = Field(None, description="ids, names or MACs; null: all that failed, were refused or are gone")


@routes.post("/start", summary="Start a cast now", responses=MISSING | REFUSED)
def start_cast(parts: Parts, caller: Viewer, cast: Name) -> CastView:
    """Starts with those who have joined; later ones still get it. Refused when nobody has."""
    parts.casts.start(parts.casts.get(cast), caller.name)
    return show_cast(parts, cast)


@routes.post("/pause", summary="Hold a running cast", responses=MISSING | REFUSED)
def pause_cast(parts: Parts, cast: Name) -> CastView:
    """No more data is sent; its machines wait, as long as it takes, and nothing is lost."""
    parts.casts.pause(parts.casts.get(cast))
    return show_cast(parts, cast)


@routes.post("/resume", summary="Let a paused cast go on", responses=MISSING | REFUSED)
def resume_cast(parts: Parts, cast: Name) -> CastView:
    """Where it was."""
    parts.casts.resume(parts.casts.get(cast))
    return show_cast(parts, cast)


@routes.post("/retry", summary="Order failed machines again", responses=MISSING | REFUSED)
def retry_cast(parts: Parts, cast: Name, body: Retry | None = None) -> CastView:
    """Those that failed, were refused or are gone, and are here now. A cast that has ended is under way
    again by that. What a machine has written already is kept.
    """
    named = body.clients if body is not None else None
    machines = None if named is None else frozenset(parts.clients.find(name).id for name in named)
    parts.casts.retry(parts.casts.get(cast), machines)
    return show_cast(parts, cast)


@routes.post("/cancel", summary="End a cast", responses=MISSING | REFUSED)
def cancel_cast(parts: Parts, cast: Name) -> CastView:
    """Once it was started, machines in the middle of it are left with an incomplete disk."""
    parts.casts.cancel(parts.casts.get(cast))
    return show_cast(parts, cast)
