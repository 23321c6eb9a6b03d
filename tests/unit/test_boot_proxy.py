"""What the proxy answers to each kind of firmware, and what it never answers."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from castcore.boot import (
    PXE_PORT,
    SERVER_PORT,
    BootDecision,
    BootPlace,
    BootStage,
    DhcpRequest,
    MessageType,
    Verdict,
    destination,
    proxy_decide,
)
from castcore.boot.message import UNSPECIFIED, suboptions
from castcore.boot.options import Option

from tests.support.bootasking import ARM64, IPXE_FEATURES, MAC, PLACE, Policy, ask, options, request


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        (request(0), "undionly.kpxe"),
        (request(7), "shimx64.efi"),
        (request(9), "shimx64.efi"),
        (request(0, user_class=b"iPXE"), "http://10.0.0.1:8080/boot/boot.ipxe"),
        (request(0, ipxe=b"\x13\1\1"), "http://10.0.0.1:8080/boot/boot.ipxe"),
        (request(7, user_class=b"iPXE", ipxe=IPXE_FEATURES), "http://10.0.0.1:8080/boot/boot.ipxe"),
        (request(16, "HTTPClient:Arch:00016"), "http://10.0.0.1:8080/boot/shimx64.efi"),
    ],
)
def test_each_firmware_is_offered_what_it_can_load(asked: DhcpRequest, file: str) -> None:
    verdict = ask(asked)
    reply, found = verdict.reply, options(verdict)
    assert reply is not None
    assert reply.message_type is MessageType.OFFER
    assert (reply.file, reply.siaddr) == (file, PLACE.address)
    assert reply.yiaddr == UNSPECIFIED
    assert found[Option.SERVER_ID] == PLACE.address.packed
    assert found[Option.BOOT_FILE] == file.encode()
    assert found[Option.MACHINE_ID] == asked.machine_id
    assert asked.vendor_class.startswith(found[Option.VENDOR_CLASS].decode())
    assert verdict.event is not None
    assert verdict.event.stage is BootStage.OFFERED


def test_pxe_firmware_is_told_to_take_this_file_without_discovery() -> None:
    assert suboptions(options(ask(request(0)))[Option.VENDOR_SPECIFIC]) == {6: b"\x08"}


def test_a_boot_server_request_is_answered_on_4011_only() -> None:
    asked = request(7, message_type=MessageType.REQUEST, ciaddr=IPv4Address("10.0.0.50"))
    assert ask(asked, port=SERVER_PORT).reply is None
    reply = ask(asked, port=PXE_PORT).reply
    assert reply is not None
    assert (reply.message_type, reply.file) == (MessageType.ACK, "shimx64.efi")
    assert reply.yiaddr == UNSPECIFIED
    assert destination(reply, ("10.0.0.50", 4011), PXE_PORT) == ("10.0.0.50", 4011)


def test_the_boot_item_that_was_asked_for_is_echoed() -> None:
    asked = request(0, message_type=MessageType.REQUEST, vendor_specific=b"\x47\x04\0\1\0\0\xff")
    inner = suboptions(options(ask(asked, port=PXE_PORT))[Option.VENDOR_SPECIFIC])
    assert inner[71] == b"\0\1\0\0"


def test_a_request_to_another_server_is_not_ours() -> None:
    asked = request(7, message_type=MessageType.REQUEST, server_id=IPv4Address("10.0.0.9"))
    assert ask(asked, port=PXE_PORT) == Verdict()


@pytest.mark.parametrize(
    "asked",
    [
        request(None, vendor="udhcp 1.36"),
        request(0, vendor=""),
        request(7, vendor="MSFT 5.0"),
    ],
)
def test_machines_that_do_not_boot_from_the_network_hear_nothing(asked: DhcpRequest) -> None:
    policy = Policy()
    assert proxy_decide(asked, SERVER_PORT, PLACE, policy) == Verdict()
    assert policy.asked == []


@pytest.mark.parametrize("kind", [t for t in MessageType if t is not MessageType.DISCOVER])
def test_on_67_only_a_discover_is_answered(kind: MessageType) -> None:
    assert ask(request(7, message_type=kind)) == Verdict()


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (request(6), "32-bit UEFI"),
        (request(11), "architecture 11 (ARM64 UEFI): the boot tree holds no files for ARM64"),
        (request(19, "HTTPClient:Arch:00019"), "the boot tree holds no files for ARM64"),
        (request(10), "32-bit ARM"),
        (request(77), "architecture 77"),
        (request(15, "HTTPClient:Arch:00015"), "32-bit UEFI HTTP"),
        (request(None, vendor="PXEClient"), "option 93"),
        (request(7, user_class=b"iPXE", ipxe=b"\x13\1\1"), "iPXE cannot load"),
    ],
)
def test_what_cannot_be_booted_is_refused_in_a_sentence(asked: DhcpRequest, named: str) -> None:
    verdict = ask(asked)
    assert verdict.reply is None
    assert verdict.event is not None
    assert verdict.event.stage is BootStage.REFUSED
    assert named in verdict.event.detail


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        (request(11), "shimaa64.efi"),
        (request(11, user_class=b"iPXE"), "shimaa64.efi"),
        (request(19, "HTTPClient:Arch:00019"), "http://10.0.0.1:8080/boot/shimaa64.efi"),
        (request(7), "shimx64.efi"),
        (request(16, "HTTPClient:Arch:00016"), "http://10.0.0.1:8080/boot/shimx64.efi"),
    ],
)
def test_a_tree_with_arm64_files_boots_both(asked: DhcpRequest, file: str) -> None:
    reply = proxy_decide(asked, SERVER_PORT, ARM64, Policy()).reply
    assert reply is not None
    assert reply.file == file


@pytest.mark.parametrize("place", [PLACE, ARM64])
def test_arm64_machines_are_skipped_by_who_could_boot_them(place: BootPlace) -> None:
    verdict = proxy_decide(request(11), SERVER_PORT, place, Policy(BootDecision.LOCAL))
    assert (verdict.reply is not None) == place.arm64


@pytest.mark.parametrize("architecture", [0, 7, 9])
def test_a_skipped_machine_gets_a_menu_that_boots_its_disk_at_once(architecture: int) -> None:
    verdict = ask(request(architecture), BootDecision.LOCAL)
    inner = suboptions(options(verdict)[Option.VENDOR_SPECIFIC])
    assert inner[9][:2] == b"\0\0"  # the one entry: type 0, local boot
    assert len(inner[9]) == 3 + inner[9][2]  # and no second one
    assert inner[10][0] == 0  # chosen after 0 s
    assert verdict.reply is not None
    assert verdict.reply.file == ""
    assert verdict.event is not None
    assert verdict.event.stage is BootStage.SKIPPED


def test_a_skipped_ipxe_gets_the_script_that_exits() -> None:
    reply = ask(request(0, user_class=b"iPXE"), BootDecision.LOCAL).reply
    assert reply is not None
    assert reply.file == "http://10.0.0.1:8080/boot/local.ipxe"


def test_a_skipped_http_boot_gets_an_address_where_nothing_is() -> None:
    reply = ask(request(16, "HTTPClient"), BootDecision.LOCAL).reply
    assert reply is not None
    assert reply.file == "http://10.0.0.1:8080/boot/nothing"


@pytest.mark.parametrize(
    ("asked", "decision"), [(request(7), BootDecision.IGNORE), (request(6), BootDecision.LOCAL)]
)
def test_an_ignored_machine_hears_nothing(asked: DhcpRequest, decision: BootDecision) -> None:
    verdict = ask(asked, decision)
    assert verdict.reply is None
    assert verdict.event is not None
    assert verdict.event.stage is BootStage.IGNORED


def test_the_policy_is_asked_by_mac_and_uuid() -> None:
    policy = Policy()
    proxy_decide(request(7), SERVER_PORT, PLACE, policy)
    assert policy.asked == [(MAC, "69696969-6969-6969-6969-696969696969")]


def test_without_a_machine_id_none_is_made_up() -> None:
    assert Option.MACHINE_ID not in options(ask(request(7, machine_id=b"")))


def test_relayed_and_unaddressed_machines_are_reached() -> None:
    direct = ask(request(7)).reply
    relayed = ask(request(7, giaddr=IPv4Address("10.9.0.1"), relay_information=b"\1\1x")).reply
    assert direct is not None
    assert relayed is not None
    assert destination(direct, ("0.0.0.0", 68), SERVER_PORT) == ("255.255.255.255", 68)
    assert destination(relayed, ("10.9.0.1", 67), SERVER_PORT) == ("10.9.0.1", 67)
    # A relay would hand it on to its address otherwise, and a proxy gives none.
    assert (direct.broadcast, relayed.broadcast) == (False, True)
    assert dict(relayed.options)[Option.RELAY_INFORMATION] == b"\1\1x"
    assert relayed.options[-1][0] == Option.RELAY_INFORMATION  # RFC 3046: last
