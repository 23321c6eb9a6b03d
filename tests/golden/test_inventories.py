"""Ten real machines' devices, and whether the boot image ``full`` has drivers for them."""

from __future__ import annotations

import pytest
from castmedia.coverage import Verdict, covered
from castmedia.modalias import AliasTable, parse_aliases

from tests.golden.inventoryaliases import TABLE, machines

MACHINES = machines()
FULL = AliasTable(parse_aliases(TABLE.read_text()))
# Drivers that lspci names otherwise than their modules.
MODULES = {"xhci_hcd": "xhci_pci", "ehci-pci": "ehci_pci", "sdhci-pci": "sdhci_pci"}


def test_there_are_ten_machines_each_with_a_card_and_a_disk_controller_at_least() -> None:
    assert len(MACHINES) == 10
    for devices in MACHINES.values():
        kinds = {device.kind[:2] for device in devices}
        assert kinds & {"02"}
        assert kinds & {"01", "08"}


@pytest.mark.parametrize("name", MACHINES)
def test_full_has_a_driver_for_all_that_a_cast_needs(name: str) -> None:
    rows = covered(MACHINES[name], FULL)
    assert [row.device.ids for row in rows if row.verdict is Verdict.MISSING] == []
    driven = [row for row in rows if row.verdict is Verdict.DRIVEN]
    assert {"wired network"} <= {row.purpose for row in driven}


@pytest.mark.parametrize("name", MACHINES)
def test_the_driver_is_the_one_that_had_the_device_there(name: str) -> None:
    for row in covered(MACHINES[name], FULL):
        if row.device.driver and row.purpose:
            assert MODULES.get(row.device.driver, row.device.driver) in row.modules


def test_a_table_without_a_driver_misses_it() -> None:
    lines = [line for line in TABLE.read_text().splitlines() if not line.endswith(" e1000e")]
    table = AliasTable(parse_aliases("\n".join(lines)))
    rows = covered(MACHINES["hp-elitedesk-800-g4"], table)
    assert [row.device.ids for row in rows if row.verdict is Verdict.MISSING] == ["8086:15bb"]
