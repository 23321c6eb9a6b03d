"""The operator's calls about who is let in: machines that wait, and those that claim to be another."""

from typing import Annotated

from castcore.errors import Refused
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from castserver.api.access import Name, Parts, admin_routes, operator_routes
from castserver.api.views import ClientView, ErrorView, Refusals, client_view
from castserver.parts import ServerParts

_REFUSED: Refusals = {
    403: {"model": ErrorView, "description": "Several claim to be it, and no code names the one"},
    404: {"model": ErrorView, "description": "There is no such machine, or none with this code"},
}
_RUNNING: Refusals = {403: {"model": ErrorView, "description": "A cast or capture is under way"}}

routes = operator_routes("approval")
admins = admin_routes("approval", "/approval")


class ApprovalView(BaseModel):
    """Whether machines have to be approved, and how many wait for it now."""

    required: bool
    waiting: int


class NewApproval(BaseModel):
    """Whether machines have to be approved."""

    model_config = ConfigDict(extra="forbid")

    required: StrictBool


class Judged(BaseModel):
    """Which of several that say they are the same machine; of one alone it may be left out."""

    model_config = ConfigDict(extra="forbid")

    code: Annotated[str, Field(max_length=100)] = Field("", description="the four words on its screen")


@routes.get("/approval", summary="Whether machines have to be approved by hand")
def show_approval(parts: Parts) -> ApprovalView:
    """And how many wait now."""
    return ApprovalView(required=parts.approvals.required, waiting=len(parts.approvals.waiting()))


@admins.put("", summary="Have machines approved by hand, or let all in", responses=_RUNNING)
def set_approval(parts: Parts, body: NewApproval) -> ApprovalView:
    """Turned on, machines here that were not approved have to wait; refused while any is at work."""
    with parts.clients.lock:
        if body.required and not parts.approvals.required:
            for client in parts.clients.all():
                work = parts.casts.busy(client) or client.capture
                if work:
                    raise Refused(f"machine {client.id} is at {work}", hint="wait for its end")
        parts.approvals.require(body.required)
    return show_approval(parts)


@routes.post("/clients/{client}/approve", summary="Let a machine in", responses=_REFUSED)
def approve(parts: Parts, client: Name, body: Judged) -> ClientView:
    """Now, and whenever it starts again. With a code that another than the connected one shows, that one
    becomes the machine, and the other has to wait.
    """
    parts.approvals.approve(parts.clients.find(client), body.code)
    return _shown(parts, client)


@routes.post("/clients/{client}/deny", summary="Keep a machine out", responses=_REFUSED)
def deny(parts: Parts, client: Name, body: Judged) -> ClientView:
    """It gets no orders and no image until it is approved; a part in a cast that it has is lost. With a
    code that another than the connected one shows, only that one is kept out, until it starts anew.
    """
    parts.approvals.deny(parts.clients.find(client), body.code)
    return _shown(parts, client)


def _shown(parts: ServerParts, client: str) -> ClientView:
    with parts.clients.lock:
        return client_view(parts.clients.find(client), parts.clients, parts.boots, parts.once)


def both() -> tuple[APIRouter, APIRouter]:
    """All routes."""
    return routes, admins
