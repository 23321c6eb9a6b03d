"""What a machine that is to boot an image once is told by DHCP."""

from __future__ import annotations

import pytest
from castcore.boot import BootDecision, BootStage, DhcpRequest
from castcore.boot.bootnames import MachineFile, machine_name
from castcore.boot.message import suboptions
from castcore.boot.options import Option

from tests.support.bootasking import IPXE_FEATURES, PLACE, ask, options, request


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        (request(0), "undionly.kpxe"),
        (request(0, user_class=b"iPXE"), PLACE.url("boot/boot.ipxe")),
        (request(7, user_class=b"iPXE", ipxe=IPXE_FEATURES), PLACE.url("boot/boot.ipxe")),
    ],
)
def test_ipxe_is_brought_to_its_script(asked: DhcpRequest, file: str) -> None:
    verdict = ask(asked, BootDecision.IMAGE)
    assert verdict.reply is not None
    assert verdict.reply.file == file
    assert verdict.event is not None
    assert verdict.event.stage is BootStage.OFFERED


def test_http_boot_is_given_the_machines_own_address() -> None:
    asked = request(16, "HTTPClient:Arch:00016")
    reply = ask(asked, BootDecision.IMAGE).reply
    assert reply is not None
    name = reply.file.removeprefix(PLACE.url(""))
    assert len(reply.file) < 128
    found = machine_name(name)
    assert found is not None
    assert (found.mac, found.uuid, found.file) == (asked.mac, asked.uuid, MachineFile.IMAGE)


def test_uefi_pxe_goes_on_to_the_http_entry() -> None:
    verdict = ask(request(7), BootDecision.IMAGE)
    assert suboptions(options(verdict)[Option.VENDOR_SPECIFIC])[9][:2] == b"\0\0"
    assert verdict.event is not None
    assert verdict.event.stage is BootStage.SKIPPED
    assert "HTTP" in verdict.event.detail


@pytest.mark.parametrize("asked", [request(11), request(7, user_class=b"iPXE", ipxe=b"\x13\1\1")])
def test_what_cannot_boot_our_client_cannot_boot_an_image(asked: DhcpRequest) -> None:
    verdict = ask(asked, BootDecision.IMAGE)
    assert verdict.reply is None
    assert verdict.event is not None
    assert verdict.event.stage is BootStage.REFUSED
