"""The PCI devices and USB interfaces of this machine and the drivers that have them, from sysfs."""

from __future__ import annotations

from pathlib import Path

from castcore.control import Device

SYSFS = Path("/sys/bus")
BUSES = ("pci", "usb")
# No machine of the field comes near; a strange one must not make a registration of megabytes.
MOST = 1024


def devices(sysfs: Path = SYSFS) -> tuple[Device, ...]:
    """Every PCI device and USB interface, by bus and address; what cannot be read is left out."""
    folders = [f for bus in BUSES for f in sorted((sysfs / bus / "devices").glob("*"))]
    found = (_device(folder) for folder in folders)
    return tuple(device for device in found if device.modalias)[:MOST]


def _device(folder: Path) -> Device:
    driver = folder / "driver"
    return Device(
        folder.name, _text(folder / "modalias"), driver.resolve().name if driver.exists() else ""
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
