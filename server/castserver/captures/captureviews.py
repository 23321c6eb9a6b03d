"""What the API shows of captures."""

from __future__ import annotations

from castcore.control import Report
from pydantic import Field

from castserver.api.viewbase import View
from castserver.captures.capturemodel import Capture, CaptureState
from castserver.machines.clients import Clients

AWAY = "the machine has not been heard for a while; it goes on when it is back"


class CaptureView(View):
    """One capture."""

    capture: str = Field(description="id of the capture")
    client: str
    label: str = Field(description="the machine's name for people")
    image: str = Field(description="the image's full name")
    disks: list[str] = Field(description="stable ids; empty: it was begun at the machine")
    state: CaptureState
    message: str
    created: int
    ended: int | None
    root: str
    stored: int
    report: Report | None


def capture_view(capture: Capture, clients: Clients) -> CaptureView:
    """``capture`` as the API shows it."""
    client = clients.get(capture.client)
    away = not capture.state.ended and not client.online(clients.clock())
    return CaptureView(
        capture=capture.id,
        client=capture.client,
        label=client.label,
        image=capture.image,
        disks=list(capture.disks),
        state=capture.state,
        message=AWAY if away else capture.message,
        created=capture.created,
        ended=capture.ended,
        root=capture.root,
        stored=capture.stored,
        report=capture.report,
    )
