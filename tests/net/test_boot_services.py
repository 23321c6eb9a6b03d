"""The boot services in a namespace, asked by real clients in another: udhcpc, tftp-hpa, curl."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from castcore.boot import BootStage, InterfaceMode
from castcore.edge import run
from castcore.errors import NotFound, PortTaken
from castserver.services.bootservices import BootServices, BootSettings
from scapy.layers.dhcp import DHCP

from tests.net.bootwire import (
    CLIENT_MAC,
    KERNEL,
    OURS,
    SHIM,
    THEIRS,
    discover,
    events,
    exchange,
    settings,
    there,
    wire,
)
from tests.net.namespaces import Cable, inside
from tests.support.bootevents import Events, Policy

__all__ = ["events", "settings", "wire"]  # fixtures
pytestmark = pytest.mark.root

UDHCPC_SCRIPT = "#!/bin/sh\nset | grep -E '^(ip|subnet|siaddr|boot_file|router|lease)='\n"


@contextmanager
def serving(wire: Cable, settings: BootSettings, events: Events) -> Iterator[BootServices]:
    services = BootServices(settings, Policy(), events)
    inside(wire.left, services.start)
    try:
        yield services
    finally:
        services.stop()


@pytest.fixture
def proxy(wire: Cable, settings: BootSettings, events: Events) -> Iterator[BootServices]:
    with serving(wire, settings, events) as services:
        yield services


def test_a_discover_is_offered_a_file_and_no_address(
    wire: Cable, proxy: BootServices, events: Events
) -> None:
    offer = exchange(wire, discover())
    assert offer is not None
    assert (offer.yiaddr, offer.siaddr) == ("0.0.0.0", OURS)
    assert offer.file.rstrip(b"\0") == b"shimx64.efi"
    told = events.wait_for(lambda e: e.stage is BootStage.OFFERED)
    assert told.mac == CLIENT_MAC


def test_the_boot_server_port_answers_the_port_that_asked(wire: Cable, proxy: BootServices) -> None:
    acknowledged = exchange(wire, discover(3, ciaddr=THEIRS), port=4011, own=4011)
    assert acknowledged is not None
    assert ("message-type", 5) in acknowledged[DHCP].options


def test_proxy_mode_leases_nothing_to_a_real_client(wire: Cable, proxy: BootServices) -> None:
    command = ["udhcpc", "-i", wire.wire, "-f", "-q", "-n", "-t", "2", "-T", "1", "-s", "/bin/true"]
    there(wire, *command, ok=(1,))
    there(wire, *command, "-V", "PXEClient", "-x", "0x5d:0007", ok=(1,))


def test_a_real_client_gets_a_lease_and_the_boot_file_in_dhcp_mode(
    wire: Cable, settings: BootSettings, events: Events, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(UDHCPC_SCRIPT)
    script.chmod(0o755)
    udhcpc = ["udhcpc", "-i", wire.wire, "-f", "-q", "-n", "-t", "3", "-T", "1", "-s", str(script)]
    with serving(wire, replace(settings, mode=InterfaceMode.DHCP), events):
        there(wire, *udhcpc, ok=(1,))  # a stranger that does not boot from the network
        said = there(wire, *udhcpc, "-V", "PXEClient", "-x", "0x5d:0007").decode()
        again = there(wire, *udhcpc).decode()  # the same machine, once booted
    values = dict(line.split("=", 1) for line in said.replace("'", "").splitlines() if "=" in line)
    assert values["ip"] == "192.0.2.128"
    assert values["subnet"] == "255.255.255.0"
    assert values["siaddr"] == OURS
    assert values["boot_file"] == "shimx64.efi"
    assert "router" not in values
    assert "192.0.2.128" in again
    events.wait_for(lambda e: e.stage is BootStage.LEASED)


@pytest.mark.parametrize("options", [["-B", "1468"], ["--tftp-blksize", "8192"]])
def test_real_tftp_clients_get_every_byte(
    wire: Cable, proxy: BootServices, events: Events, tmp_path: Path, options: list[str]
) -> None:
    target = tmp_path / "got"
    if options[0].startswith("--"):
        there(wire, "curl", "-s", *options, "-o", str(target), f"tftp://{OURS}//shimx64.efi")
    else:
        there(wire, "tftp", "-m", "binary", OURS, "-c", "get", "shimx64.efi", str(target))
    assert target.read_bytes() == SHIM
    told = events.wait_for(lambda e: e.stage is BootStage.TFTP and "complete" in e.detail)
    assert told.mac == CLIENT_MAC


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "grub/x86_64-efi/net.lst", "tree.json", "%2e"]
)
def test_tftp_knows_no_other_file(wire: Cable, proxy: BootServices, tmp_path: Path, name: str) -> None:
    said = there(wire, "tftp", "-m", "binary", OURS, "-c", "get", name, str(tmp_path / "got")).decode()
    assert "File not found" in said


def test_tftp_takes_nothing(wire: Cable, proxy: BootServices, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"x")
    said = there(wire, "tftp", "-m", "binary", OURS, "-c", "put", str(tmp_path / "mine"), "shimx64.efi")
    assert b"Access violation" in said


def test_http_serves_wholes_and_parts(wire: Cable, proxy: BootServices, events: Events) -> None:
    url = f"http://{OURS}:8080/boot/vmlinuz"
    assert there(wire, "curl", "-sf", url) == KERNEL
    assert there(wire, "curl", "-sf", "-r", "1000-1999", url) == KERNEL[1000:2000]
    head = there(wire, "curl", "-sfI", url).decode()
    assert re.search(rf"(?mi)^content-length: {len(KERNEL)}\r$", head)
    events.wait_for(lambda e: (e.mac, e.stage) == (CLIENT_MAC, BootStage.KERNEL))


@pytest.mark.parametrize(
    "path", ["boot/nothing", "grub/x86_64-efi/net.lst", "../tree.json", "%2e%2e/kernel", ""]
)
def test_http_knows_no_other_file(wire: Cable, proxy: BootServices, path: str) -> None:
    url = f"http://{OURS}:8080/{path}"
    status = there(wire, "curl", "-s", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", url)
    assert status == b"404"
    # shim 16.1 on OVMF waits for ever for the end of an answer without a body.
    assert there(wire, "curl", "-s", "--path-as-is", url) == b"Not Found\n"


def test_noise_on_every_port_stops_nothing(wire: Cable, proxy: BootServices, tmp_path: Path) -> None:
    noise = random.Random(3)

    def blast() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(1500):
                good = bytearray(discover())
                good[noise.randrange(len(good))] = noise.randrange(256)
                sock.sendto(good, (OURS, noise.choice((67, 4011))))
                sock.sendto(noise.randbytes(noise.randrange(60)), (OURS, 69))
                words = [noise.randbytes(3), b"octet", b"blksize", b"\xff", b"tsize", b""]
                sock.sendto(b"\0\1" + b"\0".join(words[: noise.randrange(7)]), (OURS, 69))

    inside(wire.right, blast)
    assert exchange(wire, discover()) is not None
    there(wire, "curl", "-sf", "-o", str(tmp_path / "got"), f"tftp://{OURS}/shimx64.efi")
    assert (tmp_path / "got").read_bytes() == SHIM


def test_a_transfer_survives_foreign_packets_and_a_client_that_went_away_is_forgotten(
    wire: Cable, proxy: BootServices, events: Events
) -> None:
    def half_a_transfer() -> bytes:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
        ):
            sock.settimeout(5)
            sock.sendto(b"\0\1shimx64.efi\0octet\0", (OURS, 69))
            first, transfer = sock.recvfrom(2000)
            stranger.sendto(b"\0\5\0\0stop\0", transfer)
            stranger.sendto(b"junk", transfer)
            sock.sendto(b"\0\4\0\1", transfer)
            second, _ = sock.recvfrom(2000)
            # A lost acknowledgement: the block comes again.
            again, _ = sock.recvfrom(2000)
            assert again == second
            return first + second

    blocks = inside(wire.right, half_a_transfer)
    assert blocks == b"\0\3\0\1" + SHIM[:512] + b"\0\3\0\2" + SHIM[512:1024]
    events.wait_for(lambda e: e.stage is BootStage.TFTP and "stopped" in e.detail)


def test_a_taken_port_is_named_with_its_holder(wire: Cable, settings: BootSettings) -> None:
    dnsmasq = ["ip", "netns", "exec", wire.left, "dnsmasq", "-k", "--port=0", f"--interface={wire.wire}"]
    dnsmasq += [
        "--dhcp-range=192.0.2.50,192.0.2.60",
        "--dhcp-leasefile=/dev/null",
        "--conf-file=/dev/null",
    ]
    with run.started(dnsmasq) as site:
        for _ in range(100):
            table = run.run(["ip", "netns", "exec", wire.left, "cat", "/proc/net/udp"], timeout=5)
            if b":0043 " in table:
                break
            threading.Event().wait(0.05)
        services = BootServices(replace(settings, mode=InterfaceMode.DHCP), Policy(), Events())
        with pytest.raises(PortTaken) as caught:
            inside(wire.left, services.start)
        assert caught.value.what == f'UDP port 67 is taken by "dnsmasq" (process {site.pid})'
    # Nothing stayed open behind the failure.
    inside(wire.left, services.start)
    services.stop()


def test_a_missing_interface_or_address_is_named(wire: Cable, settings: BootSettings) -> None:
    for wrong, named in (({"interface": "nosuch0"}, "nosuch0"), ({"address": "192.0.2.9"}, "192.0.2.9")):
        services = BootServices(replace(settings, **wrong), Policy(), Events())  # type: ignore[arg-type]
        with pytest.raises(NotFound, match=named):
            inside(wire.left, services.start)


def test_off_opens_no_port(wire: Cable, settings: BootSettings) -> None:
    services = BootServices(replace(settings, mode=InterfaceMode.SILENT), Policy(), Events())
    inside(wire.left, services.start)
    assert exchange(wire, discover()) is None
    services.stop()
