"""Requests of each kind of firmware, made up, and what a proxy answers to them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from castcore.boot import (
    SERVER_PORT,
    BootDecision,
    BootPlace,
    DhcpRequest,
    MessageType,
    Verdict,
    proxy_decide,
)

MAC = "52:54:00:00:00:01"
PLACE = BootPlace(IPv4Address("10.0.0.1"), 8080)
ARM64 = replace(PLACE, arm64=True)
# The features the iPXE of our lab announces: HTTP (0x13) and EFI (0x24) among them.
IPXE_FEATURES = bytes.fromhex("130101240101")


class Policy:
    def __init__(self, decision: BootDecision = BootDecision.CLIENT) -> None:
        self.decision = decision
        self.asked: list[tuple[str, str]] = []

    def decide(self, mac: str, uuid: str) -> BootDecision:
        self.asked.append((mac, uuid))
        return self.decision


def request(architecture: int | None, vendor: str = "PXEClient:Arch", **more: object) -> DhcpRequest:
    made = DhcpRequest(
        MessageType.DISCOVER,
        xid=3,
        mac=MAC,
        vendor_class=vendor,
        architecture=architecture,
        machine_id=b"\0" + b"i" * 16,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def ask(
    asked: DhcpRequest, decision: BootDecision = BootDecision.CLIENT, port: int = SERVER_PORT
) -> Verdict:
    return proxy_decide(asked, port, PLACE, Policy(decision))


def options(verdict: Verdict) -> dict[int, bytes]:
    assert verdict.reply is not None
    return dict(verdict.reply.options)
