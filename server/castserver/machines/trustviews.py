"""What the API shows of a machine's standing: whether it waits, and who else says it is that machine."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from castserver.api.viewbase import View
from castserver.machines.approvals import waits
from castserver.machines.clients import Client, Clients
from castserver.machines.machinetrust import Approval

# States of a machine that is here but not let in, beside the client's own.
WAITING, DENIED = "waiting", "denied"
# A clock that is so far off makes expiry dates and times in logs wrong.
CLOCK_SLACK = 300


class ClaimView(View):
    """Another client that says it is this machine, and is not let in."""

    code: str = Field(description="the four words on its screen")
    address: str
    since: int


class TrustView(View):
    """Who may be this machine."""

    approval: Approval
    waiting: bool = Field(description="it is here, and has to be approved first")
    code: str = Field(description="the four words on its screen, while it waits or another claims it")
    address: str = Field(description="where it registered from")
    rivals: list[ClaimView]
    clock_off: int = Field(description="seconds that its clock is ahead of ours")


@dataclass(frozen=True)
class Said:
    """How it stands in a sentence, and what to do."""

    why: str = ""
    hint: str = ""


def trust_view(client: Client, clients: Clients) -> TrustView:
    """The trust in ``client`` as the API shows it."""
    trust, now = client.trust, clients.clock()
    waiting = waits(client, now, approving=clients.approving)
    rivals = [
        ClaimView(code=claim.code, address=claim.address, since=claim.since)
        for claim in trust.present_rivals(now)
    ]
    return TrustView(
        approval=trust.approval,
        waiting=waiting,
        code=trust.code if waiting or rivals else "",
        address=trust.address,
        rivals=rivals,
        clock_off=trust.clock_off,
    )


def kept_out(client: Client, clients: Clients) -> str:
    """The state of a machine that is here and not let in; "" of all others."""
    now = clients.clock()
    if waits(client, now, approving=clients.approving):
        return WAITING
    denied = client.trust.approval is Approval.DENIED and client.trust.held(now)
    return DENIED if denied else ""


def said(view: TrustView) -> Said:
    """What the operator has to know of it; empty when there is nothing."""
    if view.rivals:
        others = ", ".join(f"{r.code} at {r.address}" for r in view.rivals)
        return Said(
            f"{len(view.rivals) + 1} machines say that they are this one; not let in: {others}",
            "look at their screens: approve the right one by its code, or deny the wrong one",
        )
    if view.waiting:
        return Said(
            f"it waits for approval, its screen shows {view.code}",
            "approve it if its screen shows the same code",
        )
    if abs(view.clock_off) > CLOCK_SLACK:
        hours = abs(view.clock_off) / 3600
        way = "ahead of" if view.clock_off > 0 else "behind"
        return Said(f"its clock is {hours:.1f} h {way} the server's", "set it in the firmware's setup")
    return Said()
