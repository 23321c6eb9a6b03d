"""The devices of a machine, read out of a made-up sysfs."""

from __future__ import annotations

from pathlib import Path

from castcore.control import Device
from castcore.edge.devices import MOST, devices

NIC = "pci:v00008086d000015BBsv0000103Csd000083E2bc02sc00i00"
KEYBOARD = "usb:v046DpC31Cd6402dc00dsc00dp00ic03isc01ip01in00"


def device(sysfs: Path, bus: str, address: str, modalias: str, driver: str = "") -> None:
    folder = sysfs / bus / "devices" / address
    folder.mkdir(parents=True)
    if modalias:
        (folder / "modalias").write_text(f"{modalias}\n")
    if driver:
        (sysfs / bus / "drivers" / driver).mkdir(parents=True)
        (folder / "driver").symlink_to(sysfs / bus / "drivers" / driver)


def test_devices_with_their_drivers(tmp_path: Path) -> None:
    device(tmp_path, "usb", "1-1:1.0", KEYBOARD, "usbhid")
    device(tmp_path, "usb", "1-1", "")  # a USB device itself has no modalias, its interfaces have
    device(tmp_path, "pci", "0000:00:1f.6", NIC)
    assert devices(tmp_path) == (
        Device("0000:00:1f.6", NIC),
        Device("1-1:1.0", KEYBOARD, "usbhid"),
    )


def test_a_machine_without_buses_has_none(tmp_path: Path) -> None:
    assert devices(tmp_path / "nowhere") == ()


def test_a_registration_stays_small(tmp_path: Path) -> None:
    for number in range(MOST + 5):
        device(tmp_path, "pci", f"{number:04x}:00:00.0", NIC)
    assert len(devices(tmp_path)) == MOST
