"""Which module a device's name leads to."""

from __future__ import annotations

import pytest
from castmedia.modalias import AliasTable, parse_aliases, parse_builtin

TEXT = """\
# Aliases extracted from modules themselves.
alias pci:v00008086d000015BBsv*sd*bc*sc*i* e1000e
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias pci:v*d*sv*sd*bc01sc08i02* nvme
alias pci:v00008086d000015BBsv000017AAsd*bc*sc*i* e1000e
alias usb:v0BDAp8153d*dc*dsc*dp*icFFisc*ip*in* r8152
alias usb:v152Dp056[7-9]d*dc*dsc*dp*ic08isc06ip62in* uas
alias fs-ext4 ext4
"""
TABLE = AliasTable(parse_aliases(TEXT))
NAMES = {
    "pci:v00008086d000015BBsv000017AAsd0000225Dbc02sc00i00": ("e1000e",),
    "pci:v00008086d0000A352sv0000103Csd000083E2bc01sc06i01": ("ahci",),
    "pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02": ("nvme",),
    "pci:v00008086d0000A352sv0000103Csd000083E2bc01sc04i00": (),
    "usb:v0BDAp8153d3000dc00dsc00dp00icFFiscFFip00in00": ("r8152",),
    "usb:v152Dp0568d0100dc00dsc00dp00ic08isc06ip62in00": ("uas",),
    "usb:v152Dp0566d0100dc00dsc00dp00ic08isc06ip62in00": (),
    "acpi:PNP0A03:": (),
    "": (),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_device_gets_the_modules_whose_patterns_it_fits(name: str) -> None:
    assert TABLE.modules(name) == NAMES[name]


def test_a_beginning_finds_what_claims_a_usb_product() -> None:
    assert TABLE.claiming("usb:v0BDAp8153") == ("r8152",)
    assert TABLE.claiming("usb:v0BDAp8152") == ()


def test_drivers_built_into_the_kernel_count() -> None:
    data = b"ahci.license=GPL\0ehci_pci.alias=pci:v*d*sv*sd*bc0Csc03i20*\0ext4.alias=fs-ext4\0tar"
    table = AliasTable(parse_builtin(data))
    assert table.size == 1
    assert table.modules("pci:v00008086d00001C2Dsv000017AAsd000021CFbc0Csc03i20") == ("ehci_pci",)
