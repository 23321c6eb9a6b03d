"""Writes the logs to a stick: mounted for that alone, synced, unmounted."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pyudev
from castcore.edge import run
from castcore.edge.disk import probe
from castcore.errors import DiskFailed, FleetcastError, NoSpace, NotFound
from castcore.units import human

from castclient.stick import FILE_SYSTEMS, Volume, pick

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.5
_MOUNT_SECONDS = 60.0
_PLACE = Path("/run/fleetcast/stick")
_ROOM = 1 << 20  # beside the archive itself, for what the file system needs


def wait_for_stick(since: float, targets: Callable[[], Collection[str]]) -> Volume:
    """The stick plugged in after ``since`` (monotonic seconds). Raises NotFound after WAIT_SECONDS."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        found = pick(_volumes(), probe.identities(), since=since, targets=targets())
        if found is not None:
            return found
        time.sleep(LOOK_SECONDS)
    raise NotFound(
        "no stick with FAT, exFAT or ext4 was plugged in",
        hint="one that was there before the client started has to be pulled out and plugged in again",
    )


def copy_to(volume: Volume, stem: str, data: bytes) -> str:
    """Write ``data`` to ``volume`` as the first free of STEM-N.tar.gz; return that name.

    When it returns the stick can be pulled out. Raises DiskFailed, NoSpace, ProgramFailed.
    """
    with _mounted(volume) as place:
        try:
            return _written(place, stem, data)
        except OSError as error:
            raise DiskFailed(f"the stick {volume.name or volume.path}: {error.strerror}") from None


def _written(place: Path, stem: str, data: bytes) -> str:
    room = os.statvfs(place)
    if room.f_bavail * room.f_frsize < len(data) + _ROOM:
        raise NoSpace(f"the stick has no room for {human(len(data))} of logs")
    numbers = (f"{stem}-{number}.tar.gz" for number in range(1, 10_000))
    name = next(n for n in numbers if not (place / n).exists())
    part = place / f"{name}.part"
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(place / name)
    folder = os.open(place, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return name


@contextlib.contextmanager
def _mounted(volume: Volume) -> Iterator[Path]:
    _PLACE.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", FILE_SYSTEMS[volume.kind], "-o", "nosuid,nodev,noexec,noatime"]
    run.run(["busybox", *command, volume.path, str(_PLACE)], timeout=_MOUNT_SECONDS)
    try:
        yield _PLACE
    except BaseException:
        with contextlib.suppress(FleetcastError):
            _unmount()
        raise
    _unmount()


def _unmount() -> None:
    """All of it is on the stick when this returns. Raises ProgramFailed."""
    run.run(["busybox", "umount", str(_PLACE)], timeout=_MOUNT_SECONDS)


def _volumes() -> list[Volume]:
    """The file systems of every disk, by what udev knows; no disk is read."""
    found = []
    for device in pyudev.Context().list_devices(subsystem="block"):
        kind, path = device.properties.get("ID_FS_TYPE", ""), device.device_node
        label = device.properties.get("ID_PART_ENTRY_NAME", "")
        disk = device if device.device_type == "disk" else device.find_parent("block", "disk")
        if path and disk is not None and disk.device_node and (kind or label):
            name = label or device.properties.get("ID_FS_LABEL", "")
            met = int(disk.properties.get("USEC_INITIALIZED", "0")) / 1e6
            found.append(Volume(path, disk.device_node, kind, name, met))
    return found
