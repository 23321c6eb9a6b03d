"""LVM2 physical volumes: which of their bytes belong to which logical volume, and which to none.

Label, headers and text as LVM2 writes them (lvmdump's documentation, lib/format_text/layout.h as a
description of the disk format). Pure: the reader of bytes is given. Only the committed metadata on the
volume itself is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from castcore.disk.extent import Extent, Extents, merge, subtract
from castcore.disk.fs import Reader
from castcore.disk.lvmtext import Section, number, parse, section, strings, words
from castcore.errors import BadImage
from castcore.units import MIB

SECTOR = 512
LABEL_SECTORS = 4
LABEL = struct.Struct("<8sQII8s")
LABEL_TYPE = b"LVM2 001"
UUID = 32
AREA = struct.Struct("<QQ")
HEADER = struct.Struct("<I16sIQQ")
HEADER_MAGIC = b" LVM2 x[5A%r0N*>"
TEXT_AT = struct.Struct("<QQII")
IGNORED = 1
# LVM's CRC starts so and has no final exclusive-or.
INITIAL_CRC = 0xF597A6CF
MOST_TEXT = 64 * MIB


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """A logical volume's extents on this physical volume, in its own order, in bytes from its start.

    ``whole`` is "" when they are all of it, one after the other, and nobody else reads them; else why
    its contents cannot be judged here.
    """

    name: str
    extents: tuple[Extent, ...]
    whole: str = ""


@dataclass(frozen=True, slots=True)
class PhysicalVolume:
    """The volume group's name, its logical volumes here, and the extents that belong to none."""

    group: str
    volumes: tuple[LogicalVolume, ...]
    free: Extents


def read_physical_volume(read: Reader, length: int) -> PhysicalVolume:
    """The physical volume in a partition of ``length`` bytes.

    Raises BadImage when its metadata is damaged, missing or not as this reader knows it.
    """
    uuid, areas = _label(read)
    text = next((t for area in areas if (t := _metadata(read, area)) is not None), None)
    if text is None:
        raise BadImage("keeps no metadata of its volume group")
    groups = [(n, v) for n, v in parse(text).items() if isinstance(v, dict)]
    if len(groups) != 1:
        raise BadImage("LVM metadata: not of one volume group")
    name, group = groups[0]
    return _physical_volume(name, group, uuid, length)


def _label(read: Reader) -> tuple[str, list[Extent]]:
    """The volume's id and its metadata areas."""
    for at in range(0, LABEL_SECTORS * SECTOR, SECTOR):
        raw = read(at, SECTOR)
        mark, place, checksum, offset, kind = LABEL.unpack_from(raw)
        if mark != b"LABELONE":
            continue
        if kind != LABEL_TYPE or place * SECTOR != at or checksum != _crc(raw[20:]):
            raise BadImage("its label is damaged")
        if offset + UUID + 8 > SECTOR:
            raise BadImage("its label contradicts itself")
        areas = _areas(raw, offset + UUID + 8)
        return raw[offset : offset + UUID].decode("ascii", errors="replace"), areas
    raise BadImage("has no label")


def _areas(raw: bytes, at: int) -> list[Extent]:
    """The second of two lists of areas, each ended by an empty one: data, then metadata."""
    lists: list[list[Extent]] = [[], []]
    for found in lists:
        while True:
            if at + AREA.size > len(raw):
                raise BadImage("its label contradicts itself")
            start, size = AREA.unpack_from(raw, at)
            at += AREA.size
            if start == 0:
                break
            found.append(Extent(start, size))
    return lists[1]


def _metadata(read: Reader, area: Extent) -> str | None:
    """The committed text in a metadata ``area``, None when LVM does not use that area."""
    raw = read(area.start, SECTOR)
    checksum, magic, version, start, size = HEADER.unpack_from(raw)
    if checksum != _crc(raw[4:]) or magic != HEADER_MAGIC or version != 1:
        raise BadImage("the header of its metadata is damaged")
    if (start, size) != (area.start, area.length) or size <= SECTOR:
        raise BadImage("the header of its metadata is out of its place")
    at, length, text_checksum, flags = TEXT_AT.unpack_from(raw, HEADER.size)
    if at == 0 or flags & IGNORED:
        return None
    if TEXT_AT.unpack_from(raw, HEADER.size + TEXT_AT.size)[0]:
        raise BadImage("a change of its metadata is under way")
    if not SECTOR <= at < size or length > min(MOST_TEXT, size - SECTOR):
        raise BadImage("the header of its metadata contradicts itself")
    # The area is a ring behind its header.
    first = min(length, size - at)
    text = read(start + at, first) + read(start + SECTOR, length - first)
    if _crc(text) != text_checksum:
        raise BadImage("the checksum of its metadata is wrong")
    return text.rstrip(b"\0").decode(errors="replace")


def _physical_volume(name: str, group: Section, uuid: str, length: int) -> PhysicalVolume:
    own, value = _itself(section(group, "physical_volumes"), uuid)
    unit = number(group, "extent_size") * SECTOR
    start, count = number(value, "pe_start") * SECTOR, number(value, "pe_count")
    if unit == 0 or start + count * unit > length:
        raise BadImage("is larger than its partition")
    space = _Space(own, start, unit, count)
    volumes = []
    taken: list[Extent] = []
    named = _named(section(group, "logical_volumes"))
    for lv_name, lv in section(group, "logical_volumes").items():
        if not isinstance(lv, dict):
            raise BadImage("LVM metadata: a logical volume is no section")
        volume = _logical_volume(lv_name, lv, space, shared=lv_name in named)
        taken += volume.extents
        if volume.extents:
            volumes.append(volume)
    free = subtract([Extent(start, count * unit)], taken)
    return PhysicalVolume(name, tuple(volumes), free)


def _itself(volumes: Section, uuid: str) -> tuple[str, Section]:
    """The name that the metadata has for the physical volume ``uuid``, and what it says of it."""
    for name, value in volumes.items():
        if isinstance(value, dict) and str(value.get("id", "")).replace("-", "") == uuid:
            return name, value
    raise BadImage("LVM metadata: it does not name this volume")


def _named(volumes: Section) -> set[str]:
    """What segments name: a logical volume among it is read through another one as well."""
    return {
        text
        for volume in volumes.values()
        if isinstance(volume, dict)
        for segment in volume.values()
        if isinstance(segment, dict)
        for text in strings(segment)
    }


@dataclass(frozen=True, slots=True)
class _Space:
    """The physical volume ``name`` in its group: ``count`` extents of ``unit`` bytes from ``start``."""

    name: str
    start: int
    unit: int
    count: int

    def extent(self, first: int, count: int) -> Extent:
        if first + count > self.count:
            raise BadImage("LVM metadata: a segment ends after its physical volume")
        return Extent(self.start + first * self.unit, count * self.unit)


def _logical_volume(name: str, lv: Section, space: _Space, *, shared: bool) -> LogicalVolume:
    segments = sorted(
        (s for s in lv.values() if isinstance(s, dict) and "extent_count" in s),
        key=lambda s: number(s, "start_extent"),
    )
    if len(segments) != number(lv, "segment_count"):
        raise BadImage(f"LVM metadata: {name} has other segments than it says")
    here = [_here(segment, space) for segment in segments]
    extents = tuple(extent for found in here for extent in found)
    status = words(lv, "status")
    if "VISIBLE" not in status or shared:
        whole = "is part of another volume"
    elif any(s.get("type") not in ("striped", "linear") for s in segments):
        whole = f"is of type {segments[0].get('type')}"
    elif not all(_is_linear(s, space) for s in segments):
        whole = "is not on this physical volume alone"
    else:
        whole = ""
    return LogicalVolume(name, extents, whole)


def _here(segment: Section, space: _Space) -> Iterator[Extent]:
    """The extents of this physical volume that ``segment`` names, whatever it does with them.

    Raises BadImage when it names the volume in another way.
    """
    named = sum(text == space.name for text in strings(segment))
    count = number(segment, "extent_count")
    stripes = number(segment, "stripe_count") if segment.get("type") == "striped" else 1
    each = -(-count // max(1, stripes))
    for value in segment.values():
        if isinstance(value, list):
            for owner, first in zip(value[::2], value[1::2], strict=False):
                if owner == space.name and isinstance(first, int):
                    named -= 1
                    yield space.extent(first, each)
    if named:
        raise BadImage("LVM metadata: a segment is not understood")


def _is_linear(segment: Section, space: _Space) -> bool:
    places = words(segment, "stripes")
    return len(places) == 2 and places[0] == space.name


def _crc(data: bytes) -> int:
    return crc32(data, INITIAL_CRC ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def contiguous(volume: LogicalVolume) -> Extent | None:
    """The one extent of a logical ``volume`` that lies in one piece and in order, else None."""
    joined = merge(volume.extents)
    in_order = list(volume.extents) == sorted(volume.extents)
    return joined[0] if len(joined) == 1 and in_order else None
