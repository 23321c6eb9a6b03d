"""What a machine's inventory says, in each of its forms."""

from __future__ import annotations

import json

import pytest
from castcore.errors import Refused
from castmedia.coverage import Verdict, covered
from castmedia.inventory import parse, pci_modalias
from castmedia.modalias import Alias, AliasTable

LSPCI = """\
00:17.0 SATA controller [0106]: Intel Corporation SATA [RAID mode] [8086:a352] (rev 10)
\tDeviceName: Onboard
\tSubsystem: Hewlett-Packard Company Device [103c:83e2]
\tKernel driver in use: ahci
\tKernel modules: ahci
10000:e1:00.0 Non-Volatile memory controller [0108]: KC3000 [2646:5013] (rev 01) (prog-if 02 [NVM])
02:00.0 Network controller [0280]: Intel Wi-Fi [8086:2723]
Bus 001 Device 004: ID 0bda:8153 Realtek Semiconductor Corp. RTL8153 Gigabit Ethernet Adapter
Bus 001 Device 005: ID 1d6b:0002 Linux Foundation 2.0 root hub
"""
NIC = "pci:v00008086d000015BBsv0000103Csd000083E2bc02sc00i00"
DEVICES = [
    {"address": "0000:00:1f.6", "modalias": NIC, "driver": ""},
    {
        "address": "1-1:1.0",
        "modalias": "usb:v046DpC31Cd6402dc00dsc00dp00ic03isc01ip01in00",
        "driver": "usbhid",
    },
]


def test_lspci_and_lsusb_in_one_text() -> None:
    sata, nvme, wifi, dock, hub = parse(LSPCI)
    assert (sata.address, sata.ids, sata.kind, sata.driver) == ("00:17.0", "8086:a352", "0106", "ahci")
    assert sata.modaliases == ("pci:v00008086d0000A352sv0000103Csd000083E2bc01sc06i01",)
    assert nvme.address == "10000:e1:00.0"
    assert nvme.modaliases == (pci_modalias("2646", "5013", ("0000", "0000"), "0108", "02"),)
    assert wifi.kind == "0280"
    assert (dock.bus, dock.ids, dock.modaliases) == ("usb", "0bda:8153", ())
    assert hub.ids == "1d6b:0002"


def test_an_interface_that_is_not_told_may_be_any_of_its_class() -> None:
    (usb,) = parse("00:14.0 USB controller [0c03]: Intel xHCI [8086:a36d] (rev 10)")
    assert {name[-2:] for name in usb.modaliases} == {"00", "10", "20", "30", "40"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"devices": DEVICES}),
        json.dumps(DEVICES),
        json.dumps({"event": "progress"}) + "\n" + json.dumps({"event": "result", "devices": DEVICES}),
    ],
)
def test_what_our_client_reports(text: str) -> None:
    nic, keyboard = parse(text)
    assert (nic.ids, nic.kind, nic.modaliases) == ("8086:15bb", "0200", (NIC,))
    assert (keyboard.ids, keyboard.kind, keyboard.driver) == ("046d:c31c", "03", "usbhid")


@pytest.mark.parametrize("text", ["", "no such command: lspci", "{}", "[]", '[{"address": 1}]'])
def test_what_is_no_inventory_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        parse(text)


def test_verdicts() -> None:
    table = AliasTable(
        [
            Alias("pci:v*d*sv*sd*bc01sc06i01*", "ahci"),
            Alias("usb:v0BDAp8153d*dc*dsc*dp*icFFisc*ip*in*", "r8152"),
        ]
    )
    found = {row.device.ids: row for row in covered(parse(LSPCI), table)}
    assert {ids: row.verdict for ids, row in found.items()} == {
        "8086:a352": Verdict.DRIVEN,
        "2646:5013": Verdict.MISSING,
        "8086:2723": Verdict.UNNEEDED,
        "0bda:8153": Verdict.DRIVEN,
        "1d6b:0002": Verdict.UNTOLD,
    }
    assert found["0bda:8153"].modules == ("r8152",)
