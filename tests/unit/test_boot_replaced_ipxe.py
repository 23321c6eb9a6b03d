"""A network card's own iPXE that cannot or shall not run our script loads ours, and that one goes on."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from castcore.boot import BootPlace, DhcpRequest, Kind, MessageType, kind_of
from castcore.boot.bootclient import boot_info
from castcore.boot.policy import BootDecision

MAC = "52:54:00:00:00:01"
PLACE = BootPlace(IPv4Address("10.0.0.1"), 8080)
# Option 175 as captured: QEMU's ROM for virtio-net, and Debian's undionly.kpxe.
ROM = bytes.fromhex(
    "b105011af41000eb03010000170101220101130101110101270101190101290101100102210101150101180101120101"
)
OURS = bytes.fromhex(
    "b105011af41000eb03010000260101170101270101220101130101140101110101190101290101100102210101150101"
    "180101120101"
)
WITHOUT_HTTP = bytes.fromhex("b105011af41000eb03010000150101210101")


def ipxe(architecture: int, features: bytes) -> DhcpRequest:
    return DhcpRequest(
        MessageType.DISCOVER,
        xid=3,
        mac=MAC,
        vendor_class="PXEClient:Arch:00000:UNDI:002001",
        user_class=b"iPXE",
        architecture=architecture,
        ipxe=features,
    )


@pytest.mark.parametrize("features", [ROM, OURS, b""])
def test_ipxe_is_given_the_script(features: bytes) -> None:
    assert kind_of(ipxe(0, features)) is Kind.IPXE_BIOS


def test_without_http_it_could_not_load_the_script_and_is_given_ours() -> None:
    asked = ipxe(0, WITHOUT_HTTP)
    kind = kind_of(asked)
    assert kind is Kind.BIOS
    assert boot_info(asked, kind, BootDecision.CLIENT, PLACE).file == "undionly.kpxe"


def test_a_rom_can_be_replaced_and_ours_never_is() -> None:
    assert kind_of(ipxe(0, ROM), replace_ipxe=True) is Kind.BIOS
    assert kind_of(ipxe(0, OURS), replace_ipxe=True) is Kind.IPXE_BIOS


def test_on_uefi_nothing_is_replaced() -> None:
    assert kind_of(ipxe(7, ROM), replace_ipxe=True) is Kind.IPXE_UEFI
