"""A readable dump of a firmware's DHCP packets and of what the proxy answers to each.

``.venv/bin/python -m tests.golden.bootdump`` writes the dumps anew beside the captures, after a
deliberate change of an answer or with a new capture (only the machine's own packets:
``tcpdump -r ALL -w NAME.pcap 'udp dst port 67 or udp dst port 4011'``).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

from castcore.boot import (
    BootDecision,
    BootPlace,
    DhcpReply,
    DhcpRequest,
    Verdict,
    destination,
    kind_of,
    proxy_decide,
)
from castcore.boot.message import suboptions
from castcore.boot.options import Option
from castcore.edge.net.dhcppacket import decode
from scapy.layers.inet import IP, UDP
from scapy.utils import rdpcap

FOLDER = Path(__file__).parent / "firmware"
PLACE = BootPlace(IPv4Address("192.0.2.1"), 8080)


class Always:
    """The policy that gives every machine the same."""

    def __init__(self, decision: BootDecision) -> None:
        self._decision = decision

    def decide(self, mac: str, uuid: str) -> BootDecision:
        """The same for each."""
        del mac, uuid
        return self._decision


def packets(capture: Path) -> Iterator[tuple[DhcpRequest, tuple[str, int], int]]:
    """Each request of a capture, its source, and the port it went to."""
    for packet in rdpcap(str(capture)):
        udp = packet[UDP]
        yield decode(bytes(udp.payload)), (packet[IP].src, udp.sport), udp.dport


def dump(capture: Path) -> str:
    """The whole capture as text."""
    lines: list[str] = []
    for request, source, port in packets(capture):
        kind = kind_of(request)
        lines += [
            f"{request.message_type.name} to port {port} from {request.mac}",
            f"  class {request.vendor_class!r} user class {request.user_class!r}",
            f"  architecture {request.architecture} = {kind.value if kind else 'not booting'}",
            f"  uuid {request.uuid or '-'} secs {request.secs} broadcast {request.broadcast}",
            f"  43: {suboptions(request.vendor_specific)} 175: {request.ipxe.hex() or '-'}",
        ]
        for decision in (BootDecision.CLIENT, BootDecision.LOCAL):
            verdict = proxy_decide(request, port, PLACE, Always(decision))
            lines += [f"  {decision.value}:", *_answer(verdict, source, port)]
        lines.append("")
    return "\n".join(lines)


def _answer(verdict: Verdict, source: tuple[str, int], port: int) -> Iterator[str]:
    if verdict.event is not None:
        yield f"    event {verdict.event.stage}: {verdict.event.detail}"
    if verdict.reply is None:
        yield "    no answer"
        return
    reply: DhcpReply = verdict.reply
    to = "{}:{}".format(*destination(reply, source, port))
    yield f"    {reply.message_type.name} to {to}: siaddr {reply.siaddr} file {reply.file!r}"
    for code, value in reply.options:
        name = Option(code).name.lower()
        shown = suboptions(value) if code == Option.VENDOR_SPECIFIC else value
        yield f"    {code} {name}: {shown!r}"


def main() -> None:
    """Write every dump anew."""
    for capture in sorted(FOLDER.glob("*.pcap")):
        capture.with_suffix(".txt").write_text(dump(capture))


if __name__ == "__main__":
    main()
