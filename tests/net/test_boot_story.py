"""What the real services tell of a machine's boot becomes its story."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from castcore.boot import BootStage, Outlook, tell
from castserver.netboot.bootwatch import BootWatch
from castserver.services.bootservices import BootServices, BootSettings
from scapy.layers.dhcp import BOOTP, DHCP

from tests.net.bootwire import (
    CLIENT_MAC,
    KERNEL,
    OURS,
    SHIM,
    THEIRS,
    discover,
    exchange,
    settings,
    there,
    wire,
)
from tests.net.namespaces import Cable, inside
from tests.support.bootevents import Policy

pytestmark = pytest.mark.root
__all__ = ["settings", "wire"]

SITE = "192.0.2.254"


@pytest.fixture
def watch(wire: Cable, settings: BootSettings) -> Iterator[BootWatch]:
    watch = BootWatch(lambda: None)
    services = BootServices(settings, Policy(), watch.note)
    inside(wire.left, services.start)
    try:
        yield watch
    finally:
        services.stop()


def choice() -> bytes:
    """The REQUEST by which a machine tells all servers whose offer it took."""
    packet = BOOTP(discover(3))
    options = packet[DHCP].options
    packet[DHCP].options = [("server_id", SITE), ("requested_addr", THEIRS), *options]
    return bytes(packet)


def reaches(watch: BootWatch, stage: BootStage, words: str = "") -> None:
    """Wait until the machine's boot has come there, and the last event says these words."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = watch.of([CLIENT_MAC])
        if found and found[0].reached is stage and words in found[0].latest.event.detail:
            return
        time.sleep(0.05)
    raise AssertionError(watch.of([CLIENT_MAC]))


def told(watch: BootWatch, later: float = 300.0) -> tuple[Outlook, str]:
    """Its story, so many seconds later."""
    (history,) = watch.others()
    assert history.mac == CLIENT_MAC
    story = tell(history, time.time() + later)
    return story.outlook, story.sentence


def test_a_boot_is_followed_from_its_first_packet_to_the_kernel(wire: Cable, watch: BootWatch) -> None:
    assert exchange(wire, discover()) is not None
    reaches(watch, BootStage.OFFERED)
    exchange(wire, choice())
    reaches(watch, BootStage.REQUESTED)
    assert told(watch)[1].startswith(f"it asked the DHCP server {SITE} for the address {THEIRS}, but")
    assert exchange(wire, discover(3, ciaddr=THEIRS), port=4011, own=4011) is not None
    reaches(watch, BootStage.ASKED)
    assert told(watch)[1].startswith("it was told its boot file at port 4011, but")
    there(wire, "curl", "-sf", "-o", "/dev/null", f"tftp://{OURS}/shimx64.efi")
    reaches(watch, BootStage.TFTP, "complete")
    assert told(watch) == (Outlook.STUCK, "it got shimx64.efi 5 min ago, but never fetched grubx64.efi")
    for name in ("boot/vmlinuz", "boot/initrd.img"):
        there(wire, "curl", "-sf", "-o", "/dev/null", f"http://{OURS}:8080/{name}")
    reaches(watch, BootStage.KERNEL, "complete")
    assert told(watch, 60)[0] is Outlook.BOOTING
    assert "never registered" in told(watch)[1]
    watch.arrived([CLIENT_MAC], "m1")
    assert told(watch)[0] is Outlook.ARRIVED


def test_a_tftp_transfer_that_stops_tells_how_far_it_came(wire: Cable, watch: BootWatch) -> None:
    wanted = len(SHIM) * 43 // 100 // 512 + 1

    def part() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(b"\0\1shimx64.efi\0octet\0", (OURS, 69))
            for _ in range(wanted):
                packet, transfer = sock.recvfrom(2000)
                sock.sendto(b"\0\4" + packet[2:4], transfer)
            sock.recvfrom(2000)
            sock.sendto(b"\0\5\0\0enough\0", transfer)

    inside(wire.right, part)
    reaches(watch, BootStage.TFTP, "stopped")
    (history,) = watch.others()
    sent = history.latest.event.transfer
    assert sent is not None
    assert (sent.done, sent.total, sent.over) == (wanted * 512, len(SHIM), True)
    assert told(watch)[1].startswith("its TFTP of shimx64.efi stopped at 43% 5 min ago")


def test_an_http_transfer_that_is_broken_off_tells_so(wire: Cable, watch: BootWatch) -> None:
    def part() -> None:
        with socket.create_connection((OURS, 8080), 5) as sock:
            sock.sendall(b"GET /boot/vmlinuz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(1000)

    inside(wire.right, part)
    reaches(watch, BootStage.KERNEL, "stopped")
    (history,) = watch.others()
    sent = history.latest.event.transfer
    assert sent is not None
    assert sent.over
    assert sent.done < sent.total == len(KERNEL)
    assert told(watch)[1].startswith("its HTTP of vmlinuz stopped at")
