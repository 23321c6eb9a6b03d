"""Which devices of a machine a boot image has drivers for, pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from castmedia.inventory import Found
from castmedia.modalias import AliasTable

# PCI classes (PCI Code and ID Assignment 1.16) without which a machine cannot be cast to: wired
# network, storage of every kind, what USB and SD hang on. Displays, sound, wireless are not needed.
NEEDED = {
    "0200": "wired network",
    "0207": "wired network",
    **{f"01{sub:02x}": "storage" for sub in range(0x0A)},
    "0180": "storage",
    "0805": "SD or eMMC",
    "0c03": "USB controller",
    "0c04": "storage",
}
# USB interface classes: HID is the keyboard, 08 sticks and disks, 02 may be a network.
USB_NEEDED = {"03": "keyboard or mouse", "08": "storage", "02": "communications"}


class Verdict(StrEnum):
    """What is known of one device."""

    DRIVEN = "driven"
    MISSING = "no driver"
    UNTOLD = "not told"
    UNNEEDED = "not needed"


@dataclass(frozen=True, slots=True)
class Covered:
    """A device, what it is for, and the modules that claim it."""

    device: Found
    purpose: str
    verdict: Verdict
    modules: tuple[str, ...] = ()


def covered(devices: Iterable[Found], table: AliasTable) -> tuple[Covered, ...]:
    """How each of ``devices`` stands with an image whose aliases are ``table``."""
    return tuple(_usb(d, table) if d.bus == "usb" else _pci(d, table) for d in devices)


def _pci(device: Found, table: AliasTable) -> Covered:
    purpose = NEEDED.get(device.kind, "")
    modules = tuple(dict.fromkeys(m for name in device.modaliases for m in table.modules(name)))
    if not purpose:
        return Covered(device, purpose, Verdict.UNNEEDED, modules)
    return Covered(device, purpose, Verdict.DRIVEN if modules else Verdict.MISSING, modules)


def _usb(device: Found, table: AliasTable) -> Covered:
    if not device.modaliases:
        # A name with open ends: it finds what claims these ids, whatever the interfaces are.
        vendor, _, product = device.ids.upper().partition(":")
        modules = table.claiming(f"usb:v{vendor}p{product}")
        return Covered(device, "", Verdict.DRIVEN if modules else Verdict.UNTOLD, modules)
    modules = tuple(dict.fromkeys(m for name in device.modaliases for m in table.modules(name)))
    purpose = USB_NEEDED.get(device.kind, "")
    if modules or not purpose:
        return Covered(device, purpose, Verdict.DRIVEN if modules else Verdict.UNNEEDED, modules)
    return Covered(device, purpose, Verdict.MISSING)
