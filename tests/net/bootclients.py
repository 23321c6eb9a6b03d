"""Boot services on a host of the lab, and packets of PXE firmware from another."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from castcore.boot import BootEvent, InterfaceMode, LeaseStore
from castcore.edge import run
from castserver.services.bootservices import BootServices, BootSettings
from scapy.layers.dhcp import BOOTP, DHCP

from tests.net.hosts import Hosts
from tests.support.bootevents import Policy
from tests.support.boottrees import tree

OURS = "192.0.2.1"
FIRMWARE = "52:54:00:00:00:07"
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
BROADCAST_FLAG = 0x8000
# Arguments of udhcpc by which it says that it boots from the network.
PXE = ("-V", "PXEClient", "-x", "0x5d:0007")
Answers = list[BOOTP]


def boot_settings(folder: Path, mode: InterfaceMode) -> BootSettings:
    """Of the interface ``wire0`` with the address ``OURS``."""
    tree(folder)
    return BootSettings("wire0", OURS, mode, folder, f"https://{OURS}:8443", server_key=b"k" * 32)


@contextmanager
def serving(
    net: Hosts,
    settings: BootSettings,
    events: Callable[[BootEvent], None],
    leases: LeaseStore | None = None,
) -> Iterator[BootServices]:
    """The boot services on host ``s``."""
    services = BootServices(settings, Policy(), events, leases=leases)
    net.inside("s", services.start)
    try:
        yield services
    finally:
        services.stop()


def packet(kind: int, *more: Any, pxe: bool = True, **header: Any) -> bytes:
    """A DHCP message as firmware sends it: without the broadcast flag, unless ``flags`` says so."""
    firmware = [(60, b"PXEClient:Arch:00007:UNDI:003016"), (93, b"\0\7"), (94, b"\1\3\x10")]
    options = [("message-type", kind), *(firmware if pxe else []), *more, "end"]
    fields: dict[str, Any] = {"op": 1, "xid": 77, "chaddr": chaddr(FIRMWARE)} | header
    return bytes(BOOTP(**fields) / DHCP(options=options))


def chaddr(mac: str) -> bytes:
    """The MAC as it stands in a packet."""
    return bytes.fromhex(mac.replace(":", ""))


def answers(
    net: Hosts,
    host: str,
    *data: bytes,
    to: str = "255.255.255.255",
    port: int = 67,
    own: int = 68,
    wanted: int = 1,
    seconds: float = 8.0,
) -> Answers:
    """What comes back to packets sent from ``wire0`` of the host: all within ``seconds``, at most
    ``wanted``, in order."""

    def talk() -> Answers:
        found: Answers = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wire0")
            sock.bind(("", own))
            for one in data:
                sock.sendto(one, (to, port))
            end = time.monotonic() + seconds
            while len(found) < wanted and (left := end - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    found.append(BOOTP(sock.recv(2000)))
                except TimeoutError:
                    break
        return found

    result: Answers = net.inside(host, talk)
    return result


def kind(answer: BOOTP) -> int:
    """Its DHCP message type."""
    return int(options(answer)["message-type"])


def options(answer: BOOTP) -> dict[Any, Any]:
    """Its options by scapy's names."""
    return {o[0]: o[1] for o in answer[DHCP].options if isinstance(o, tuple)}


def udhcpc(net: Hosts, host: str, folder: Path, *more: str, ok: tuple[int, ...] = (0,)) -> str:
    """The address the client got; "" for none."""
    script, told = folder / "udhcpc.sh", folder / f"{host}.told"
    script.write_text('#!/bin/sh\n[ "$1" = bound ] && echo "$ip$router" > $TOLD\n')
    script.chmod(0o755)
    told.unlink(missing_ok=True)
    words: list[str | Path] = ["udhcpc", "-i", "wire0", "-f", "-q", "-n", "-t", "4", "-T", "2"]
    words += ["-s", script, *more]
    net.run(host, "env", f"TOLD={told}", *words, ok=ok)
    return told.read_text().strip() if told.exists() else ""


def dnsmasq(addresses: str, *more: str) -> list[str]:
    """The command line of a site's DHCP server that leases ``addresses`` (FIRST,LAST[,MASK])."""
    words = ["dnsmasq", "-k", "--port=0", "--conf-file=/dev/null", "--dhcp-leasefile=/dev/null"]
    return [*words, "--no-ping", "--interface=wire0", f"--dhcp-range={addresses}", *more]


@contextmanager
def dhcp_server(net: Hosts, host: str, words: list[str]) -> Iterator[None]:
    """A DHCP server or relay on the host, given as a command line, until the block is left."""
    with run.started(net.command(host, *words)):
        net.wait_for_udp(host, 67)
        yield
