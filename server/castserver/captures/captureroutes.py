"""What the operator calls about captures: have a machine's disks captured, see how it goes, cancel."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from castserver.api.access import Name, Parts, Viewer, operator_routes
from castserver.api.views import ErrorView, Refusals
from castserver.captures.capturemodel import CaptureRequest
from castserver.captures.captureviews import CaptureView, capture_view
from castserver.images.imagenames import LONGEST

MOST_DISKS, MOST_PARTITION = 64, 128

_MISSING: Refusals = {404: {"model": ErrorView, "description": "There is no such machine or capture"}}
_REFUSED: Refusals = {
    403: {"model": ErrorView, "description": "No client is connected, or no disk fits"},
    409: {"model": ErrorView, "description": "The machine is at work, or an image lends to others"},
}

routes = operator_routes("captures")


class NewCapture(BaseModel):
    """A capture to order."""

    model_config = ConfigDict(extra="forbid")

    client: str = Field(max_length=64, description="the machine: its id, name or MAC")
    image: str = Field(
        "", max_length=LONGEST, description="the name's first part; empty: the machine's model"
    )
    disks: (
        Annotated[list[Annotated[str, Field(max_length=255)]], Field(max_length=MOST_DISKS)] | None
    ) = Field([], description="paths or ids; empty: the only built-in disk; null: all built-in ones")
    partitions: Annotated[
        list[Annotated[int, Field(ge=1, le=MOST_PARTITION)]], Field(max_length=MOST_PARTITION)
    ] = Field([], description="only these of the disk; empty: the whole disk")
    full_sectors: StrictBool = Field(
        default=False, description="every byte, also what no file system uses"
    )
    rescue: StrictBool = Field(default=False, description="zeros for what a failing disk cannot read")
    replace: StrictBool = Field(default=False, description="an older image of the same machine and name")


@routes.get("/captures", summary="Every capture, the newest first")
def list_captures(parts: Parts) -> list[CaptureView]:
    """Ended ones included."""
    with parts.clients.lock:
        return [capture_view(c, parts.clients) for c in parts.captures.all()]


@routes.post(
    "/captures", summary="Capture a machine's disks", status_code=201, responses=_MISSING | _REFUSED
)
def create_capture(parts: Parts, caller: Viewer, body: NewCapture) -> CaptureView:
    """The client on it reads its disks; the image has the machine's MAC and UUID in its name."""
    client = parts.clients.find(body.client)
    disks = None if body.disks is None else tuple(body.disks)
    request = CaptureRequest(
        body.image,
        disks,
        body.full_sectors,
        body.rescue,
        body.replace,
        tuple(body.partitions),
        caller.name,
    )
    capture = parts.captures.create(client, request, busy=parts.casts.busy(client))
    return show_capture(parts, capture.id)


@routes.get("/captures/{capture}", summary="One capture", responses=_MISSING)
def show_capture(parts: Parts, capture: Name) -> CaptureView:
    """Its state, and the machine's last report."""
    with parts.clients.lock:
        return capture_view(parts.captures.get(capture), parts.clients)


@routes.post("/captures/{capture}/cancel", summary="End a capture", responses=_MISSING | _REFUSED)
def cancel_capture(parts: Parts, capture: Name) -> CaptureView:
    """What was uploaded of it is removed; the machine's disks are as they were."""
    parts.captures.cancel(parts.captures.get(capture))
    return show_capture(parts, capture)
