"""Proxy DHCP: boot information beside the site's own DHCP server, never an address (PXE 2.1)."""

from __future__ import annotations

from castcore.boot.answers import PXE_PORT, reply_to
from castcore.boot.bootclient import BootPlace, Kind, boot_info, kind_of, refusal
from castcore.boot.message import DhcpRequest, MessageType
from castcore.boot.policy import BootDecision, BootEvent, BootPolicy, BootStage, Verdict

# What is answered on which port, and by what: DISCOVER on 67, the boot server's REQUEST (some
# firmware sends INFORM) on 4011. A REQUEST on 67 is between the machine and its DHCP server.
_ANSWERS = {
    (67, MessageType.DISCOVER): MessageType.OFFER,
    (PXE_PORT, MessageType.REQUEST): MessageType.ACK,
    (PXE_PORT, MessageType.INFORM): MessageType.ACK,
}


def decide(request: DhcpRequest, port: int, place: BootPlace, policy: BootPolicy) -> Verdict:
    """What a proxy at ``place`` answers to a ``request`` that came to ``port``."""
    answer = _ANSWERS.get((port, request.message_type))
    kind = kind_of(request, replace_ipxe=place.replace_ipxe)
    if answer is None or kind is None or _for_another(request, place):
        return Verdict()
    decision, event = boot_decision(request, kind, policy)
    if decision is BootDecision.IGNORE:
        return Verdict(event=event)
    info = boot_info(request, kind, decision, place)
    return Verdict(reply_to(request, answer, place.address, info=info), event)


def boot_decision(
    request: DhcpRequest, kind: Kind, policy: BootPolicy
) -> tuple[BootDecision, BootEvent]:
    """The policy's word on the machine, unless it cannot be booted; and the event that tells it."""
    decision = policy.decide(request.mac, request.uuid)
    why = refusal(request, kind) if decision is BootDecision.CLIENT else ""
    if why:
        return BootDecision.IGNORE, BootEvent(request.mac, BootStage.REFUSED, why)
    if decision is BootDecision.LOCAL and kind is Kind.UNSUPPORTED:
        # A menu without boot programs suits any architecture, but firmware we never met is left alone.
        return BootDecision.IGNORE, BootEvent(request.mac, BootStage.IGNORED, refusal(request, kind))
    stages = {
        BootDecision.CLIENT: (BootStage.OFFERED, f"{kind.value}: offered the client"),
        BootDecision.LOCAL: (BootStage.SKIPPED, f"{kind.value}: told to boot its own disk"),
        BootDecision.IGNORE: (BootStage.IGNORED, f"{kind.value}: not ours to answer"),
    }
    stage, detail = stages[decision]
    return decision, BootEvent(request.mac, stage, detail)


def _for_another(request: DhcpRequest, place: BootPlace) -> bool:
    return int(request.server_id) != 0 and request.server_id != place.address
