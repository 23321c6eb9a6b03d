"""UEFI: make the disk just written the next boot, so that the firmware does not ask the network again.

The firmware's boot entries are read through ``efibootmgr``; which of them is the disk's is decided
by pure functions. No entry, or a firmware that refuses, is no failure: the boot server sends the
machine on to its disk anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from castcore.disk import DiskFacts, DiskLayout
from castcore.edge import run

EFI = Path("/sys/firmware/efi")
_TIMEOUT = 20.0

# Boot0003* debian<TAB>HD(1,GPT,uuid,0x800,0x100000)/File(\EFI\debian\shimx64.efi)
_ENTRY = re.compile(r"Boot([0-9A-Fa-f]{4})(\*?)\s+([^\t]*)(?:\t(.*))?")
_ORDER = re.compile(r"BootOrder:\s*([0-9A-Fa-f,]*)")
# A partition by its GUID, and the hops from the root bridge to a controller (UEFI specification 10.3).
_HD = re.compile(r"HD\(\d+,GPT,([0-9a-fA-F-]{36})")
_PCI = re.compile(r"Pci\(0x([0-9a-fA-F]+),0x([0-9a-fA-F]+)\)")
_ROOT = "PciRoot("
_NETWORK = ("MAC(", "IPv4(", "IPv6(", "Uri(")
# In sysfs a hop is DOMAIN:BUS:DEVICE.FUNCTION.
_SYSFS_HOP = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:([0-9a-f]{2})\.([0-7])")

Hops = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class BootEntry:
    """One boot entry of the firmware; ``path`` is its device path as text."""

    number: str
    label: str
    path: str
    active: bool


@dataclass(frozen=True, slots=True)
class DiskPlace:
    """By what a boot entry can name a disk: its partitions' GUIDs, its controller, its serial."""

    partitions: frozenset[str]
    hops: Hops = ()
    serial: str = ""


def parse_entries(text: str) -> tuple[BootEntry, ...]:
    """The entries of ``efibootmgr -v``, in boot order, those outside the order last."""
    entries: list[BootEntry] = []
    order: list[str] = []
    for line in text.splitlines():
        if found := _ENTRY.fullmatch(line.rstrip()):
            number, star, label, path = found.groups()
            entries.append(BootEntry(number.upper(), label.strip(), path or "", bool(star)))
        elif found := _ORDER.fullmatch(line.strip()):
            order = found.group(1).upper().split(",")
    rank = {number: place for place, number in enumerate(order)}
    return tuple(sorted(entries, key=lambda e: rank.get(e.number, len(order))))


def choose(entries: Iterable[BootEntry], place: DiskPlace) -> BootEntry | None:
    """The entry that boots the disk at ``place``; None when none does or it cannot be told.

    An entry naming one of its partitions comes first; else the firmware's own entry for the whole
    disk, known by its controller, and by the serial where several disks share that controller.
    """
    active = [e for e in entries if e.active and not any(n in e.path for n in _NETWORK)]
    for entry in active:
        named = _HD.search(entry.path)
        if named and named.group(1).lower() in place.partitions:
            return entry
    whole = [
        e for e in active if place.hops and _HD.search(e.path) is None and hops(e.path) == place.hops
    ]
    if len(whole) > 1 and place.serial:
        whole = [e for e in whole if place.serial in e.label]
    return whole[0] if len(whole) == 1 else None


def hops(path: str) -> Hops:
    """The PCI hops (device, function) in a firmware's device path; () when it has none."""
    if not path.startswith(_ROOT):
        return ()
    return tuple((int(device, 16), int(function, 16)) for device, function in _PCI.findall(path))


def sysfs_hops(resolved: str) -> Hops:
    """The same from the resolved sysfs path of a block device."""
    found = (_SYSFS_HOP.fullmatch(part) for part in resolved.split("/"))
    return tuple((int(hop.group(1), 16), int(hop.group(2))) for hop in found if hop)


def boot_disk_next(target: DiskFacts, layout: DiskLayout) -> str:
    """Let the firmware boot ``target`` next; return what was done, in words.

    Raises FleetcastError when efibootmgr is missing or the firmware refuses.
    """
    if not EFI.is_dir():
        return "BIOS: the boot order decides what boots next"
    device = Path("/sys/class/block") / Path(target.path).name
    place = DiskPlace(
        frozenset(p.uuid.lower() for p in layout.partitions if p.uuid),
        sysfs_hops(str(device.resolve())),
        target.serial,
    )
    listed = run.run(["efibootmgr", "-v"], timeout=_TIMEOUT).decode(errors="replace")
    entry = choose(parse_entries(listed), place)
    if entry is None:
        return "the firmware has no boot entry for this disk yet; its own order decides"
    run.run(["efibootmgr", "--quiet", "--bootnext", entry.number], timeout=_TIMEOUT)
    return f"next boot: Boot{entry.number} {entry.label}"
