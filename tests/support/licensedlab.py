"""A server without disks and networks over a medium in a folder, and what tests ask of both."""

from __future__ import annotations

from typing import Any

from castcore.control import ClientState, Report
from castserver.licences.licenceterms import LicenceTerms

from tests.support.licences import TERMS, FolderMedium
from tests.support.serverlab import ROOT, FakeClient, ServerLab


def licensed_lab(medium: FolderMedium, terms: LicenceTerms = TERMS) -> ServerLab:
    """A server with the medium."""
    return ServerLab(ledgers=medium, terms=terms)


def create(lab: ServerLab, **fields: object) -> str:
    """A cast of the image of every such lab."""
    cast: str = lab.operator("POST", "/casts", {"image": "lab", **fields})["cast"]
    return cast


def counts(lab: ServerLab) -> tuple[int, int, int]:
    """Left, reserved and consumed of all licences, as the operator sees them."""
    lab.casts.tick()
    own = [licence for m in lab.operator("GET", "/licences") for licence in m["licences"]]
    left, reserved, consumed = (
        sum(one[word] for one in own) for word in ("left", "reserved", "consumed")
    )
    return left, reserved, consumed


def parts(lab: ServerLab, cast: str) -> dict[str, dict[str, Any]]:
    """Every machine's part."""
    return {p["client"]: p for p in lab.operator("GET", f"/casts/{cast}")["parts"]}


def machines(lab: ServerLab, number: int) -> list[FakeClient]:
    """So many of them, registered."""
    return [FakeClient(lab, n).register() for n in range(1, number + 1)]


def done(lab: ServerLab, client: FakeClient, cast: str) -> None:
    """A proof, without HTTP between: what kills the server must end the call."""
    report = Report(ClientState.DONE, cast, root=ROOT)
    lab.casts.hear(lab.clients.get(client.id), report)
