"""The disks of this machine, as facts. Read-only, and one odd disk never spoils the rest.

An assembled volume of a firmware RAID is a disk; its members are told as what they are.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyudev

from castcore.disk import DiskFacts, DiskLayout, firmware_raid, with_first_paths
from castcore.disk.arrays import standing
from castcore.edge.disk import raid
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disklayout import read_layout
from castcore.edge.disk.holders import held_by
from castcore.edge.run import ProgramFailed
from castcore.errors import FleetcastError, MissingProgram, NotFound

# Not disks of the machine: memory, files, layers over disks, optical and floppy drives, network
# block devices, and the boot and key areas of eMMC chips. Of md devices, volumes of a firmware RAID are.
NO_DISK = re.compile(r"(loop|ram|zram|dm-|md|sr|scd|fd|nbd|mtdblock|drbd)\d|mmcblk\d+(boot|rpmb)")
HOT_PLUGGED = frozenset({"usb", "ieee1394"})
# What a disk's path in /sys goes through; a SCSI host stands below most of the others.
BUSES = {"usb": "usb", "nvme": "nvme", "virtio": "virtio", "mmc": "mmc", "ata": "ata", "scsi": "host"}
SYS_SECTOR = 512
STABLE_LINK = re.compile(r"/dev/disk/((?:by-id|by-path)/.+)")
# The kernel command line's word for the file system (its UUID) that a boot medium was started from.
MEDIUM_WORD = "fleetcast.medium"


def disks() -> tuple[DiskFacts, ...]:
    """Every disk of this machine, by path. Raises MissingProgram (blkid)."""
    return with_arrays([_with_layout(facts) for facts in identities()])


def identities() -> tuple[DiskFacts, ...]:
    """Every disk of this machine, by path, without its layout: no disk is read."""
    found = []
    for device in pyudev.Context().list_devices(subsystem="block", DEVTYPE="disk"):
        size = _number(_attribute(device.sys_path, "size")) * SYS_SECTOR
        hidden = _attribute(device.sys_path, "hidden") == "1"
        is_disk = not NO_DISK.match(device.sys_name) or raid.is_volume(device.device_node or "")
        if size == 0 or hidden or not is_disk or not device.device_node:
            continue
        with suppress(MissingProgram, ProgramFailed):  # mdadm, of a RAID's volume
            found.append(_device_facts(device, size))
    return with_first_paths(sorted(found, key=lambda facts: facts.path))


def disk(path: str | os.PathLike[str], *, sector_size: int = 0) -> DiskFacts:
    """The block device or raw file ``path``; ``sector_size`` (bytes) is for files, 512 unless given.

    Raises NotFound, DiskFailed, MissingProgram (blkid).
    """
    name = os.fspath(path)
    with BlockFile.open_source(name, sector_size=sector_size) as opened:
        size, sector_size = opened.size, opened.sector_size
    if not stat.S_ISBLK(os.stat(name).st_mode):
        real = os.path.realpath(name)
        read_only = not os.access(name, os.W_OK)
        facts = DiskFacts(name, f"file-{real}", size, sector_size, bus="file", read_only=read_only)
        return _with_layout(replace(facts, held_by=held_by(name)))
    try:
        device = pyudev.Devices.from_device_file(pyudev.Context(), os.path.realpath(name))
    except pyudev.DeviceNotFoundError:
        raise NotFound(f"{name}: the kernel knows no such disk") from None
    facts = _device_facts(device, size)
    known = identities()
    first = next((f.first_path for f in known if f.path == facts.path), "")
    found = _with_layout(replace(facts, first_path=first))
    if firmware_raid(found):
        (found,) = with_arrays([found], [f.path for f in known])
    return replace(found, path=name)


def with_arrays(found: Sequence[DiskFacts], paths: Sequence[str] | None = None) -> tuple[DiskFacts, ...]:
    """``found``, the members of firmware RAIDs among them with the array they are of.

    ``paths`` are the disks to look for further members on (None: those of ``found``).
    """
    if not any(firmware_raid(facts) for facts in found):
        return tuple(found)
    sets = raid.examined([facts.path for facts in found] if paths is None else paths)
    there = raid.assembled() if sets else {}
    return tuple(
        replace(facts, array=standing(facts.path, sets, there)) if firmware_raid(facts) else facts
        for facts in found
    )


def _device_facts(device: pyudev.Device, size: int) -> DiskFacts:
    """Identity and state of ``device``: what udev found out, else what /sys says itself."""
    if raid.is_volume(device.device_node):
        return _volume_facts(device, size)
    sys_path, udev = device.sys_path, device.properties
    wwn = udev.get("ID_WWN_WITH_EXTENSION") or _attribute(sys_path, "wwid", "device/wwid")
    serial = (
        udev.get("ID_SERIAL_SHORT")
        or udev.get("ID_SCSI_SERIAL")
        or _attribute(sys_path, "serial", "device/serial")
    )
    bus = udev.get("ID_BUS") or _bus(sys_path)
    is_card = bus == "mmc" and _attribute(sys_path, "device/type") == "SD"
    return DiskFacts(
        path=device.device_node,
        stable_id=stable_id(wwn, serial, udev, sys_path),
        size=size,
        sector_size=_number(_attribute(sys_path, "queue/logical_block_size")) or SYS_SECTOR,
        model=(udev.get("ID_MODEL") or _attribute(sys_path, "device/model", "device/name")).replace(
            "_", " "
        ),
        serial=serial,
        wwn=wwn,
        bus=bus,
        removable=_attribute(sys_path, "removable") == "1" or bus in HOT_PLUGGED or is_card,
        read_only=_attribute(sys_path, "ro") == "1",
        held_by=_held_by(device.device_node),
        names=_names(udev),
        boot_medium=_is_boot_medium(udev, sys_path),
    )


def _volume_facts(device: pyudev.Device, size: int) -> DiskFacts:
    """The same for a volume of a firmware RAID: assembled read-only, it can be made writable."""
    volume = raid.volume(device.device_node)
    return DiskFacts(
        path=device.device_node,
        stable_id=f"raid-{volume.uuid}",
        size=size,
        sector_size=_number(_attribute(device.sys_path, "queue/logical_block_size")) or SYS_SECTOR,
        model=" ".join(word for word in (volume.name, volume.level.upper()) if word),
        serial=volume.uuid,
        bus="raid",
        read_only=volume.read_only,
        held_by=_held_by(device.device_node),
        names=_names(device.properties),
        boot_medium=_is_boot_medium(device.properties, device.sys_path),
    )


def medium_uuid(cmdline: str) -> str:
    """The UUID of the boot medium's file system that a kernel command line names, "" for none."""
    words = dict(word.split("=", 1) for word in cmdline.split() if "=" in word)
    return words.get(MEDIUM_WORD, "").strip('"').lower()


def _names(udev: Mapping[str, str]) -> tuple[str, ...]:
    """udev's links below /dev/disk that stay over boots, sorted."""
    links = udev.get("DEVLINKS", "").split()
    return tuple(sorted(m[1] for link in links if (m := STABLE_LINK.fullmatch(link))))


def _is_boot_medium(udev: Mapping[str, str], sys_path: str) -> bool:
    """Whether the kernel command line names a file system of this disk as the boot medium's."""
    uuid = medium_uuid(_attribute("/proc", "cmdline"))
    if not uuid:
        return False
    context = pyudev.Context()
    parts = (
        pyudev.Devices.from_sys_path(context, str(p.parent)) for p in Path(sys_path).glob("*/partition")
    )
    return uuid in {d.get("ID_FS_UUID", "").lower() for d in (udev, *(p.properties for p in parts))}


def stable_id(wwn: str, serial: str, udev: Mapping[str, str], sys_path: str) -> str:
    """The name of a disk that stays over boots: its WWN, else its serial number, else its place."""
    if wwn:
        return f"wwn-{wwn}"
    if serial:
        return f"serial-{serial}"
    # The kernel's own device name at the end of the path may differ on the next boot.
    place = udev.get("ID_PATH") or str(Path(sys_path).parent).removeprefix("/sys/devices/")
    return f"path-{place}"


def _with_layout(facts: DiskFacts) -> DiskFacts:
    """``facts`` with the disk's layout, None when the disk cannot be read."""
    return replace(facts, layout=_layout(facts))


def _layout(facts: DiskFacts) -> DiskLayout | None:
    try:
        with BlockFile.open_source(facts.path, sector_size=facts.sector_size) as opened:
            return read_layout(opened)[0]
    except MissingProgram:
        raise
    except FleetcastError:
        return None


def _held_by(path: str) -> str:
    try:
        return held_by(path)
    except OSError:
        return ""


def _bus(sys_path: str) -> str:
    """The bus that the disk's place in /sys names; "" for one we do not know."""
    return next((bus for bus, step in BUSES.items() if re.search(rf"/{step}\d", sys_path)), "")


def _attribute(sys_path: str, *names: str) -> str:
    """The first of the attributes ``names`` that says something; bytes that are no UTF-8 replaced."""
    for name in names:
        try:
            value = Path(sys_path, name).read_bytes().decode(errors="replace").strip(" \t\n\0")
        except OSError:
            continue
        if value:
            return value
    return ""


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
