"""A cable with boot services at one end and a machine at the other, and what that machine says.

A test that takes these fixtures names them in its ``__all__``.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from castcore.boot import InterfaceMode
from castcore.edge import run
from castserver.services.bootservices import BootSettings
from scapy.layers.dhcp import BOOTP, DHCP

from tests.net.namespaces import Cable, cable, connected, inside, ip
from tests.support.bootevents import Events
from tests.support.boottrees import tree

OURS, THEIRS = "192.0.2.1", "192.0.2.200"
CLIENT_MAC = "52:54:00:00:00:07"
SHIM = random.Random(1).randbytes(300_000)
KERNEL = random.Random(2).randbytes(5_000_000)


@pytest.fixture(scope="module")
def wire() -> Iterator[Cable]:
    with cable("boot") as made:
        ip("-n", made.left, "addr", "add", f"{OURS}/24", "brd", "+", "dev", made.wire)
        ip("-n", made.right, "link", "set", made.wire, "address", CLIENT_MAC)
        ip("-n", made.right, "addr", "add", f"{THEIRS}/24", "brd", "+", "dev", made.wire)
        for space in (made.left, made.right):
            ip("-n", space, "link", "set", made.wire, "up")
        connected(made)
        yield made


@pytest.fixture
def settings(wire: Cable, tmp_path: Path) -> BootSettings:
    tree(tmp_path, {"shim": SHIM, "kernel": KERNEL})
    return BootSettings(
        wire.wire, OURS, InterfaceMode.PROXY, tmp_path, f"https://{OURS}:8443", server_key=b"k" * 32
    )


@pytest.fixture
def events() -> Events:
    return Events()


def there(wire: Cable, *command: str, ok: tuple[int, ...] = (0,), cwd: Path | None = None) -> bytes:
    """What ``command`` prints in the client's namespace."""
    return run.run(["ip", "netns", "exec", wire.right, *command], timeout=30, ok=ok, cwd=cwd)


def discover(kind: int = 1, **header: Any) -> bytes:
    options = [("message-type", kind), (60, b"PXEClient:Arch:00007:UNDI:003016"), (93, b"\0\7"), "end"]
    fields: dict[str, Any] = {
        "op": 1,
        "xid": 77,
        "chaddr": bytes.fromhex(CLIENT_MAC.replace(":", "")),
        "flags": 0x8000,
    }
    return bytes(BOOTP(**fields | header) / DHCP(options=options))


def exchange(wire: Cable, data: bytes, *, port: int = 67, own: int = 68) -> BOOTP | None:
    """The answer to a packet sent from the client's namespace; None when none comes within a second."""

    def talk() -> BOOTP | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, wire.wire.encode())
            sock.bind(("", own))
            sock.settimeout(1)
            sock.sendto(data, ("255.255.255.255" if port == 67 else OURS, port))
            try:
                return BOOTP(sock.recv(2000))
            except TimeoutError:
                return None

    answer: BOOTP | None = inside(wire.right, talk)
    return answer
