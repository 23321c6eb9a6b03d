"""A machine's devices, from what can tell them: our client, ``lspci -nn -k``, ``lsusb``. Pure.

Our client reports whole modaliases. The texts say less: lspci shows no programming interface, lsusb no
classes. What is not said is left open, see :class:`Found`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from castcore.control import Device
from castcore.errors import BadPacket, Refused
from castcore.plain import from_plain

# Programming interfaces that drivers ask for, by class and subclass (PCI Code and ID Assignment 1.16):
# AHCI; NVMe; UHCI, OHCI, EHCI, xHCI and USB4; SDHCI with and without DMA. First the usual one.
_INTERFACES = {
    "0106": ("01",),
    "0108": ("02",),
    "0c03": ("30", "20", "10", "00", "40"),
    "0805": ("01", "00"),
}
_LSPCI = re.compile(
    r"^(?P<at>(?:[0-9a-f]{4,}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) "
    r"(?P<kind>.*?) \[(?P<class>[0-9a-f]{4})\]: (?P<name>.*) "
    r"\[(?P<vendor>[0-9a-f]{4}):(?P<device>[0-9a-f]{4})\](?P<rest>.*)$"
)
_PROG_IF = re.compile(r"\(prog-if ([0-9a-f]{2})")
_SUBSYSTEM = re.compile(r"^\s+Subsystem: .*\[([0-9a-f]{4}):([0-9a-f]{4})\]\s*$")
_DRIVER = re.compile(r"^\s+Kernel driver in use: (\S+)")
_LSUSB = re.compile(r"^Bus (\d{3}) Device (\d{3}): ID ([0-9a-f]{4}):([0-9a-f]{4}) ?(.*)$")
_MODALIAS = re.compile(
    r"pci:v0000(?P<vendor>[0-9A-F]{4})d0000(?P<device>[0-9A-F]{4})sv[0-9A-F]{8}sd[0-9A-F]{8}"
    r"bc(?P<base>[0-9A-F]{2})sc(?P<sub>[0-9A-F]{2})i[0-9A-F]{2}"
)
_USB_MODALIAS = re.compile(
    r"usb:v([0-9A-F]{4})p([0-9A-F]{4}).*ic([0-9A-F]{2})isc[0-9A-F]{2}ip[0-9A-F]{2}in"
)


@dataclass(frozen=True, slots=True)
class Found:
    """One device: ``modaliases`` are all that it may be named by (one, when everything was told),
    ``kind`` its PCI class and subclass or USB interface class in hex ("" untold), and its driver.
    """

    bus: str
    address: str
    name: str
    ids: str
    kind: str
    modaliases: tuple[str, ...]
    driver: str = ""


@dataclass
class _Lines:
    """A device of lspci while its lines are read."""

    head: re.Match[str]
    subsystem: tuple[str, str] = ("0000", "0000")
    driver: str = ""
    rest: list[str] = field(default_factory=list)

    def found(self) -> Found:
        parts = self.head.groupdict()
        vendor, device, kind = parts["vendor"], parts["device"], parts["class"]
        said = _PROG_IF.search(parts["rest"])
        interfaces = (said[1],) if said else _INTERFACES.get(kind, ("00",))
        names = tuple(pci_modalias(vendor, device, self.subsystem, kind, i) for i in interfaces)
        name = f"{parts['kind']}: {parts['name']}"
        return Found("pci", parts["at"], name, f"{vendor}:{device}", kind, names, self.driver)


def pci_modalias(vendor: str, device: str, subsystem: tuple[str, str], kind: str, interface: str) -> str:
    """The kernel's name of a PCI device (drivers/pci/pci-sysfs.c), all given in hex digits."""
    ids = f"v0000{vendor}d0000{device}sv0000{subsystem[0]}sd0000{subsystem[1]}".upper()
    ids = re.sub(r"V(?=0000)|D(?=0000)|SV|SD", lambda m: m[0].lower(), ids)
    return f"pci:{ids}bc{kind[:2].upper()}sc{kind[2:].upper()}i{interface.upper()}"


def parse(text: str) -> tuple[Found, ...]:
    """The devices of an inventory of any known form. Raises Refused for a text that is none."""
    found = _from_json(text) if text.lstrip()[:1] in ("{", "[") else _from_listing(text)
    if not found:
        raise Refused(
            "no device in this inventory",
            hint="give what `fleetcast machines show ID --json`, `lspci -nn -k` or `lsusb` prints",
        )
    return found


def _from_listing(text: str) -> tuple[Found, ...]:
    """``lspci -nn -k`` and ``lsusb``, one after the other in one text if both."""
    pci: list[_Lines] = []
    usb: list[Found] = []
    for line in text.splitlines():
        if head := _LSPCI.match(line):
            pci.append(_Lines(head))
        elif plugged := _LSUSB.match(line):
            usb.append(_usb(plugged))
        elif pci and (subsystem := _SUBSYSTEM.match(line)):
            pci[-1].subsystem = (subsystem[1], subsystem[2])
        elif pci and (driver := _DRIVER.match(line)):
            pci[-1].driver = driver[1]
    return (*(lines.found() for lines in pci), *usb)


def _usb(line: re.Match[str]) -> Found:
    bus, number, vendor, product, name = line.groups()
    # Only the ids are known; a driver that asks for more than them is found by a full modalias alone.
    return Found("usb", f"{bus}:{number}", name.strip(), f"{vendor}:{product}", "", ())


def _from_json(text: str) -> tuple[Found, ...]:
    """The last JSON line with ``devices`` (or the list itself), as our client reports them."""
    try:
        values = [json.loads(text)]
    except ValueError:
        values = list(_json_lines(text.splitlines()))
    for value in reversed(values):
        rows = value.get("devices") if isinstance(value, dict) else value
        if isinstance(rows, list):
            return tuple(of_device(_device(row)) for row in rows)
    return ()


def _json_lines(lines: Iterable[str]) -> Iterable[Any]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _device(row: Any) -> Device:
    try:
        return from_plain(Device, row)
    except BadPacket as error:
        raise Refused(f"this is no device of an inventory: {error.what}") from None


def of_device(device: Device) -> Found:
    """A device that our client reported."""
    name = device.modalias
    pci, usb = _MODALIAS.fullmatch(name), _USB_MODALIAS.match(name)
    ids = f"{pci['vendor']}:{pci['device']}" if pci else f"{usb[1]}:{usb[2]}" if usb else ""
    kind = f"{pci['base']}{pci['sub']}" if pci else usb[3] if usb else ""
    return Found(
        name.partition(":")[0], device.address, "", ids.lower(), kind.lower(), (name,), device.driver
    )
