"""A booting machine that asks for an IPv6 router is told at once that there is none; others are not."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest
from castcore.boot import BootEvent, BootStage
from castcore.edge import run
from castserver.services.routeranswers import RouterAnswers
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6ND_RS, ICMPv6NDOptSrcLLAddr

from tests.net.namespaces import Cable, cable, give_addresses, inside

pytestmark = pytest.mark.root

MAC = "52:54:00:00:00:07"
ANSWER_SECONDS = 3.0
SILENT_SECONDS = 1.0
_ADVERTISEMENT = 134


@pytest.fixture(scope="module")
def wire() -> Iterator[Cable]:
    with cable("routers") as made:
        give_addresses(made, "192.0.2", "fd00:70::")
        # Link-local addresses are not used before they were found to be unique.
        for space in (made.left, made.right):
            end = time.monotonic() + 10
            show = ["ip", "-n", space, "-6", "addr", "show", "dev", made.wire, "scope", "link"]
            while b"fe80" not in (said := run.run(show, timeout=5)) or b"tentative" in said:
                assert time.monotonic() < end
                time.sleep(0.1)
        yield made


@pytest.fixture
def answers(wire: Cable) -> Iterator[RouterAnswers]:
    service = RouterAnswers(wire.wire)
    inside(wire.left, service.start)
    try:
        yield service
    finally:
        service.stop()


def asked(wire: Cable, mac: str, seconds: float, hop_limit: int = 255) -> bytes | None:
    """The advertisement that answers a solicitation of ``mac`` from the other end; None: none came."""

    def ask() -> bytes | None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
            index = socket.if_nametoindex(wire.wire)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hop_limit)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, struct.pack("=I", index))
            question = bytes(ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=mac))
            sock.sendto(question, ("ff02::2", 0, 0, index))
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    heard = sock.recv(2048)
                except TimeoutError:
                    return None
                if heard[0] == _ADVERTISEMENT:
                    return heard
            return None

    found: bytes | None = inside(wire.right, ask)
    return found


@pytest.mark.parametrize("stage", [BootStage.OFFERED, BootStage.SKIPPED])
def test_a_machine_we_boot_or_skip_is_answered(
    wire: Cable, answers: RouterAnswers, stage: BootStage
) -> None:
    answers.note(BootEvent(MAC, stage, "iPXE on BIOS"))
    heard = asked(wire, MAC, ANSWER_SECONDS)
    assert heard is not None
    assert ICMPv6ND_RA(heard).routerlifetime == 0


def test_others_hear_nothing(wire: Cable, answers: RouterAnswers) -> None:
    answers.note(BootEvent("52:54:00:00:00:08", BootStage.OFFERED, "another machine"))
    answers.note(BootEvent(MAC, BootStage.IGNORED, "not ours to answer"))
    assert asked(wire, MAC, SILENT_SECONDS) is None


def test_what_a_router_forwarded_is_not_believed(wire: Cable, answers: RouterAnswers) -> None:
    answers.note(BootEvent(MAC, BootStage.OFFERED, "iPXE on BIOS"))
    assert asked(wire, MAC, SILENT_SECONDS, hop_limit=64) is None
    assert asked(wire, MAC, ANSWER_SECONDS) is not None


def test_without_ipv6_there_is_nothing_to_answer_and_nothing_fails(wire: Cable) -> None:
    off = f"net.ipv6.conf.{wire.wire}.disable_ipv6"
    switch = ["ip", "netns", "exec", wire.left, "sysctl", "-q", "-w"]
    service = RouterAnswers(wire.wire)
    run.run([*switch, f"{off}=1"], timeout=10)
    try:
        inside(wire.left, service.start)
        service.note(BootEvent(MAC, BootStage.OFFERED, "iPXE on BIOS"))
        assert asked(wire, MAC, SILENT_SECONDS) is None
    finally:
        service.stop()
        run.run([*switch, f"{off}=0"], timeout=10)
