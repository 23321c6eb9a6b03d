"""DMI and NICs read from made-up sysfs trees: every odd value survives."""

from __future__ import annotations

from pathlib import Path

import pytest
from castcore.edge import dmi
from castcore.edge.net import nics

UUID = "4c4c4544-0042-4410-8052-b4c04f564433"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_machine_with_secure_boot(tmp_path: Path) -> None:
    sys, proc = tmp_path / "sys", tmp_path / "proc"
    for name, text in {
        "product_uuid": UUID.upper() + "\n",
        "sys_vendor": "Dell Inc.\n",
        "product_name": "OptiPlex 7090\n",
        "product_serial": "To Be Filled By O.E.M.\n",
        "board_serial": "/BRD3/CN1\n",
    }.items():
        write(sys / "class/dmi/id" / name, text)
    write(proc / "meminfo", "MemTotal:       16265092 kB\nMemFree: 1 kB\n")
    variable = sys / "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    write(variable, "")
    variable.write_bytes(b"\x16\0\0\0\x01")
    machine = dmi.machine(sys, proc)
    assert (machine.uuid, machine.vendor, machine.product) == (UUID, "Dell Inc.", "OptiPlex 7090")
    assert (machine.serial, machine.board_serial) == ("", "/BRD3/CN1")
    assert (machine.firmware, machine.secure_boot) == ("uefi", True)
    assert machine.memory == 16265092 * 1024
    variable.write_bytes(b"\x16\0\0\0\0")
    assert not dmi.machine(sys, proc).secure_boot


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    machine = dmi.machine(tmp_path, tmp_path)
    assert (machine.uuid, machine.vendor, machine.firmware, machine.memory) == ("", "", "bios", 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Default string",
        "System Serial Number",
        "0000000",
        "None",
        "N/A",
        "xxxxxxx",
        "123456789",
        " - ",
    ],
)
def test_placeholders_are_nothing(text: str) -> None:
    assert dmi.clean(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "Not Settable",
    ],
)
def test_a_uuid_that_many_machines_share_is_none(text: str) -> None:
    assert dmi.clean_uuid(text) == ""


def test_control_characters_are_dropped() -> None:
    assert dmi.clean("ab\x1b[2Jc\u0000") == "ab[2Jc"


def interface(sysfs: Path, name: str, *, device: bool, kind: int = 1, **texts: str) -> None:
    write(sysfs / name / "type", f"{kind}\n")
    for file, text in texts.items():
        write(sysfs / name / file, text)
    if device:
        (sysfs / name / "device").mkdir()


def test_only_wired_hardware_counts(tmp_path: Path) -> None:
    interface(tmp_path, "zz1", device=True, address="52:54:00:00:00:01\n", carrier="1\n", speed="1000\n")
    interface(tmp_path, "zz2", device=True, address="52:54:00:00:00:02\n", speed="-1\n")
    interface(tmp_path, "wlan0", device=True)
    (tmp_path / "wlan0/wireless").mkdir()
    interface(tmp_path, "wlan1", device=True)
    (tmp_path / "wlan1/phy80211").mkdir()
    interface(tmp_path, "br0", device=False)
    interface(tmp_path, "ib0", device=True, kind=32)
    driver = tmp_path / "drivers/virtio_net"
    driver.mkdir(parents=True)
    (tmp_path / "zz1/device/driver").symlink_to(driver)
    found = nics.wired(tmp_path)
    assert [(n.name, n.mac, n.driver, n.speed, n.link) for n in found] == [
        ("zz1", "52:54:00:00:00:01", "virtio_net", 1000, True),
        ("zz2", "52:54:00:00:00:02", "", 0, False),
    ]


def test_no_sysfs_means_no_interfaces(tmp_path: Path) -> None:
    assert nics.wired(tmp_path / "none") == ()
