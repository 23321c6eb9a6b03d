"""Firmware RAID (on-board, "fake RAID"): which arrays a machine's disks make, and which to assemble.

Pure: what mdadm(8) says of each disk goes in, a decision with its reason comes out. An array is
assembled only when all its members are there and it is not being changed in shape: then it reads as one
disk without a byte being written. Intel's (IMSM) and DDF can be; mdadm knows no other firmware's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# mdadm's name of the metadata, and the one for a person.
FORMATS = {"imsm": "Intel Rapid Storage (IMSM)", "ddf": "DDF"}
# As mdadm prints it: four groups of eight hex digits.
_UUID = re.compile(r"[0-9a-f]{8}(:[0-9a-f]{8}){3}")
_VOLUME = re.compile(
    r"^ARRAY (?:(?P<path>/\S+) )?container=(?P<container>\S+) (?P<rest>.*)$", re.MULTILINE
)
# "external:/md127/0" in /sys; a "-" in place of the first slash keeps mdmon from making it writable.
_SUBARRAY = re.compile(r"external:[/-](?P<container>md[^/]+)/(?P<member>\S+)")
# IMSM's word for a change of level, size or number of disks that has begun.
_RESHAPING = re.compile(r"^\s*Migrate State : general migration", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Volume:
    """What an operating system sees as a disk: its ``name`` ("Volume0", may be empty) and UUID."""

    name: str
    uuid: str


@dataclass(frozen=True, slots=True)
class Member:
    """A disk as its RAID metadata tells of it.

    ``container`` is the UUID of the set of disks that share their metadata, ``devices`` how many those
    are, ``volumes`` what is laid out over them; ``reshaping``: it is being changed in shape.
    """

    path: str
    metadata: str
    container: str
    devices: int
    volumes: tuple[Volume, ...] = ()
    reshaping: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """All disks seen of one set, and ``reason`` why it is not assembled ("": it is to be)."""

    uuid: str
    metadata: str
    members: tuple[str, ...]
    volumes: tuple[Volume, ...]
    reason: str = ""

    @property
    def name(self) -> str:
        """For a person: the volumes' names, else the set's UUID."""
        return ", ".join(v.name or v.uuid for v in self.volumes) or self.uuid


def member_of(path: str, exported: str, brief: str, told: str) -> Member | None:
    """What ``mdadm --examine`` has said of ``path``: with --export, with --brief, and by itself.

    None when it is no member of a firmware RAID that mdadm knows.
    """
    words = dict(line.split("=", 1) for line in exported.splitlines() if "=" in line)
    metadata, container = words.get("MD_METADATA", ""), words.get("MD_UUID", "")
    if metadata not in FORMATS or not _UUID.fullmatch(container):
        return None
    devices = words.get("MD_DEVICES", "")
    return Member(
        path,
        metadata,
        container,
        int(devices) if devices.isdecimal() else 0,
        tuple(_volumes(brief, container)),
        _RESHAPING.search(told) is not None,
    )


def _volumes(brief: str, container: str) -> Iterable[Volume]:
    for match in _VOLUME.finditer(brief):
        uuid = dict(w.split("=", 1) for w in match["rest"].split() if "=" in w).get("UUID", "")
        if match["container"] == container and _UUID.fullmatch(uuid):
            yield Volume((match["path"] or "").rpartition("/")[2], uuid)


def containers(members: Iterable[Member]) -> tuple[Container, ...]:
    """The sets that ``members`` make, by UUID, each with the decision on it."""
    sets: dict[tuple[str, str], list[Member]] = {}
    for member in members:
        sets.setdefault((member.container, member.metadata), []).append(member)
    return tuple(_decided(uuid, metadata, sets[uuid, metadata]) for uuid, metadata in sorted(sets))


def _decided(uuid: str, metadata: str, members: list[Member]) -> Container:
    volumes = tuple(dict.fromkeys(volume for member in members for volume in member.volumes))
    paths = tuple(sorted(member.path for member in members))
    wanted = max(member.devices for member in members)
    reason = ""
    if not volumes:
        reason = "it holds no volume"
    elif len(members) < wanted:
        reason = f"{len(members)} of its {wanted} members are here"
    elif any(member.reshaping for member in members):
        reason = "it is being changed in shape"
    return Container(uuid, metadata, paths, volumes, reason)


def subarray_container(metadata_version: str) -> str:
    """The kernel's name ("md127") of the container whose volume has this ``metadata_version`` in /sys.

    "" for everything else: containers themselves, arrays of Linux' own.
    """
    match = _SUBARRAY.fullmatch(metadata_version.strip())
    return match["container"] if match else ""


def standing(path: str, sets: Iterable[Container], assembled: Mapping[str, str]) -> str:
    """What the disk ``path`` is a member of, for a person; "" when none of ``sets`` has it.

    ``assembled`` are the device nodes of the volumes that are there, by UUID.
    """
    for one in sets:
        if path not in one.members:
            continue
        nodes = [assembled[v.uuid] for v in one.volumes if v.uuid in assembled]
        if nodes:
            return f"{one.name}, which is {', '.join(nodes)}"
        return f"{one.name}, which is not assembled{': ' + one.reason if one.reason else ''}"
    return ""
