"""Proxy DHCP: boot information beside the site's own DHCP server, never an address (PXE 2.1)."""

from __future__ import annotations

from castcore.boot.answers import PXE_PORT, reply_to
from castcore.boot.bootclient import (
    BootPlace,
    Kind,
    boot_info,
    goes_on_to_http,
    has_files,
    kind_of,
    refusal,
)
from castcore.boot.message import LOOKING_CLASS, DhcpRequest, MessageType
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
    decision, event = boot_decision(request, kind, place, policy)
    if decision is BootDecision.IGNORE:
        return Verdict(event=event)
    info = boot_info(request, kind, decision, place)
    told = None if request.user_class == LOOKING_CLASS else event
    return Verdict(reply_to(request, answer, place.address, info=info), told)


def boot_decision(
    request: DhcpRequest, kind: Kind, place: BootPlace, policy: BootPolicy
) -> tuple[BootDecision, BootEvent]:
    """The policy's word on the machine, unless it cannot be booted; and the event that tells it."""
    decision = policy.decide(request.mac, request.uuid)
    ours = decision in (BootDecision.CLIENT, BootDecision.IMAGE)
    why = refusal(request, kind, place) if ours else ""
    if why:
        return BootDecision.IGNORE, BootEvent(request.mac, BootStage.REFUSED, why)
    if decision is BootDecision.LOCAL and not has_files(kind, place):
        # A menu without boot programs suits any architecture, but firmware we never met is left alone.
        why = refusal(request, kind, place)
        return BootDecision.IGNORE, BootEvent(request.mac, BootStage.IGNORED, why)
    stages = {
        BootDecision.CLIENT: (BootStage.OFFERED, f"{kind.value}: offered the client"),
        BootDecision.IMAGE: _for_image(kind),
        BootDecision.LOCAL: (BootStage.SKIPPED, f"{kind.value}: told to boot its own disk"),
        BootDecision.IGNORE: (BootStage.IGNORED, f"{kind.value}: not ours to answer"),
    }
    stage, detail = stages[decision]
    return decision, BootEvent(request.mac, stage, detail)


def _for_image(kind: Kind) -> tuple[BootStage, str]:
    if goes_on_to_http(kind, BootDecision.IMAGE):
        return BootStage.SKIPPED, f"{kind.value}: told to go on to its HTTP boot, for the image ordered"
    return BootStage.OFFERED, f"{kind.value}: offered the image ordered for it"


def _for_another(request: DhcpRequest, place: BootPlace) -> bool:
    return int(request.server_id) != 0 and request.server_id != place.address
