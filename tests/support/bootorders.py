"""Images to boot once and orders for them, at a server without a network.

A test that takes these fixtures names them in its ``__all__``.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from castcore.boot import BootEvent, BootPlace, ClientBoot
from castcore.boot.bootimage import HEAD_BYTES
from castserver.services.machinefiles import MachineFiles

from tests.support.serverlab import OPERATOR, FakeClient, ServerLab

FLOPPY = bytes(510) + b"\x55\xaa" + bytes(1440 * 1024 - 512)
DISK = bytes(510) + b"\x55\xaa" + bytes(4096)
PLACE = BootPlace(IPv4Address("10.0.0.1"), 8080)
STRANGER = "52:54:00:aa:bb:cc"


def iso() -> bytes:
    data = bytearray(HEAD_BYTES)
    data[16 * 2048 : 16 * 2048 + 6] = b"\x01CD001"
    data[17 * 2048 : 17 * 2048 + 30] = b"\x00CD001\x01EL TORITO SPECIFICATION"
    return bytes(data)


@pytest.fixture
def lab(tmp_path: Path) -> ServerLab:
    folder = tmp_path / "boot-images"
    folder.mkdir()
    for name, data in {"dos.img": FLOPPY, "tool.img": DISK, "live.iso": iso()}.items():
        (folder / name).write_bytes(data)
    return ServerLab(boot_images=folder)


@pytest.fixture
def told() -> list[BootEvent]:
    return []


@pytest.fixture
def files(lab: ServerLab, told: list[BootEvent]) -> MachineFiles:
    client = ClientBoot(PLACE, "boot/files/aa/vmlinuz", ("boot/files/bb/trust.cpio",), "https://x")
    return MachineFiles(client, lab.once, lab.once, told.append)


def boot(client: FakeClient) -> tuple[str, str]:
    return client.registration.nics[0].mac, client.registration.machine.uuid


def order(lab: ServerLab, image: str, *machines: str) -> int:
    url = f"/api/v1/boot-images/{image}/boot"
    return lab.http.post(url, headers=OPERATOR, json={"machines": machines}).status_code
