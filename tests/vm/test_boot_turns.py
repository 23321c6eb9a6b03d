"""Boots that turn on their way: to the next entry of the firmware, or as a decision was changed."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
from castcore.boot import BootDecision

from tests.vm import network
from tests.vm.bootpc import CLIENT, BootingPC, booting, wait_for_ends
from tests.vm.bootplan import VIRTIO
from tests.vm.bootserver import CONSOLE, boot_server, registration
from tests.vm.boottree import BUILD, accel, tree
from tests.vm.firmware import Firmware
from tests.vm.labserver import LabServer, lab_server
from tests.vm.machine import PC, Card
from tests.vm.site import site_dhcp

pytestmark = [pytest.mark.vm, pytest.mark.root, pytest.mark.full]
FOLDER = BUILD / "boot-turns"
PATIENCE_SECONDS = 200.0
HTTP_ENTRY = re.compile("HTTP Boot over IPv4")


def cleared(name: str) -> Path:
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tree(), accel()  # made before anything waits for them
    network.remove_stale(print)
    return folder


def test_firmware_whose_pxe_nobody_answered_boots_by_its_http_entry() -> None:
    """We begin to serve when its PXE entry has timed out."""
    folder = cleared("http-after-pxe")
    pc = PC("late", 1, Firmware.UEFI_SECURE, card=Card(VIRTIO))
    with network.built() as net, site_dhcp(net, folder), booting(pc, net, folder) as on:
        assert on.running.serial.wait(HTTP_ENTRY, PATIENCE_SECONDS), on.running.serial.tail()
        with boot_server(net, folder, mode=("proxy",), decision=BootDecision.CLIENT) as server:
            wait_for_ends([on], PATIENCE_SECONDS)
        told = server.told_of(pc.mac)
    assert CLIENT.fullmatch(on.end), (on.end, told)
    assert "offered UEFI HTTP boot: offered the client" in told
    assert "boot/shimx64.efi" in "".join(on.capture.fetched())
    assert "secureboot: Secure boot enabled" in on.running.serial.text()


@pytest.mark.parametrize("firmware", [Firmware.UEFI, Firmware.UEFI_SECURE])
def test_a_machine_that_shall_boot_its_disk_after_all_goes_there_from_grub(firmware: Firmware) -> None:
    """The operator says so when our client's loaders are on their way already."""
    folder = cleared(f"disk-after-all-{firmware}")
    (folder / "images").mkdir()
    pc = PC("turned", 1, firmware, card=Card(VIRTIO))
    options = ("--extra-cmdline", CONSOLE)
    with (
        network.built() as net,
        site_dhcp(net, folder),
        lab_server(net, folder, images=folder / "images", tree=tree(), options=options) as server,
    ):
        client = server.register(registration(pc))
        server.post(f"/clients/{client}/boot-client")
        with booting(pc, net, folder) as on:
            _wait_for(server, on, "shimx64.efi: complete")
            server.post(f"/clients/{client}/boot-disk")
            wait_for_ends([on], PATIENCE_SECONDS)
        asked = on.capture.fetched()
    assert on.end.endswith("the local disk booted by UEFI"), on.running.serial.tail()
    assert any(name.endswith("/grub.cfg") and "machine" in name for name in asked)
    assert not any("vmlinuz" in name for name in asked)


def _wait_for(server: LabServer, on: BootingPC, said: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while said not in server.log.read_text(errors="replace"):
        assert on.running.is_on
        assert time.monotonic() < end, on.running.serial.tail()
        time.sleep(0.05)
