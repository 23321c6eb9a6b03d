"""The manifest of an image: what it is, the disks it holds, and the digest of its index.

Canonical JSON (:mod:`castcore.canonical`), so that its bytes can be hashed and signed as they are;
see ``FORMAT.md``, "Manifest".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from castcore import canonical
from castcore.disk import (
    BootEntry,
    BootLoader,
    DiskLayout,
    Extent,
    Extents,
    intersect,
    layout_from_json,
    layout_to_json,
    total,
)
from castcore.errors import BadImage, BadPacket
from castcore.image.borrowing import (
    BorrowedPack,
    Lender,
    borrowed_from_json,
    lenders_from_json,
    lenders_to_json,
    pieces_to_json,
)
from castcore.image.fields import POSITION_LIMIT, hex_digest, listed, text, whole
from castcore.image.record import CHUNK_SIZE, NAME, PACK_LIMIT, pack_name
from castcore.plain import from_plain, to_plain
from castcore.units import MIB

FORMAT_NAME = "fleetcast-image"
# The second has borrowed packs; an image without any is written as the first.
PLAIN_VERSION, BORROWING_VERSION = 1, 2
# Bounds what a reader holds in memory: about three million extents in use.
MANIFEST_LIMIT = 64 * MIB
# Unix time of the year 10000, which no calendar of a program reaches.
TIME_LIMIT = 253_402_300_800


@dataclass(frozen=True, slots=True)
class ImageDisk:
    """One imaged disk: its layout, and the bytes the image holds of it (normal form).

    ``unreadable`` are those of them that the source could not read any more: zeros in the image.
    """

    layout: DiskLayout
    in_use: Extents
    unreadable: Extents = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image was taken from: the path and its format, and the machine (DMI) if known."""

    path: str = ""
    format: str = ""
    machine: str = ""


@dataclass(frozen=True)
class Manifest:
    """An image as a whole. ``created`` is Unix time in seconds; ``packs`` are the packs' sizes.

    ``borrowed`` says of some packs that their bytes lie in those of other images, the ``lenders``.
    ``boot_entries`` are what a UEFI firmware must know of its disks, in the order to try them;
    ``boot_loaders`` are their EFI programs, with who signed them.
    ``index_digest`` is BLAKE3 of the index file: the image's root, which a cast proves.
    ``stored_digest`` is that of the file of stored digests; empty where an image has none.
    """

    name: str
    created: int
    disks: tuple[ImageDisk, ...]
    index_digest: bytes
    chunk_count: int
    packs: tuple[int, ...]
    source: Source = field(default=Source())
    made_by: str = ""
    boot_entries: tuple[BootEntry, ...] = ()
    boot_loaders: tuple[BootLoader, ...] = ()
    lenders: tuple[Lender, ...] = ()
    borrowed: tuple[BorrowedPack, ...] = ()
    stored_digest: bytes = b""

    @property
    def used(self) -> int:
        """Bytes in use, of all disks."""
        return sum(total(disk.in_use) for disk in self.disks)

    @property
    def stored(self) -> int:
        """Bytes that the packs of its own hold."""
        return sum(self.packs) - sum(pack.size for pack in self.borrowed)


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest file's bytes."""
    source = manifest.source
    pieces = {pack.number: {"pieces": pieces_to_json(pack)} for pack in manifest.borrowed}
    return canonical.encode(
        {
            "format": FORMAT_NAME,
            "version": BORROWING_VERSION if pieces else PLAIN_VERSION,
            "name": manifest.name,
            "created": manifest.created,
            "made_by": manifest.made_by,
            "chunk_size": CHUNK_SIZE,
            "disks": [
                {"layout": layout_to_json(d.layout), "in_use": to_runs(d.in_use)}
                | ({"unreadable": to_runs(d.unreadable)} if d.unreadable else {})
                for d in manifest.disks
            ],
            "index": {"digest": manifest.index_digest.hex(), "records": manifest.chunk_count},
            "packs": [
                {"name": pack_name(n), "size": size} | pieces.get(n, {})
                for n, size in enumerate(manifest.packs)
            ],
            "boot_entries": to_plain(manifest.boot_entries),
            "boot_loaders": to_plain(manifest.boot_loaders),
            "source": {"path": source.path, "format": source.format, "machine": source.machine},
        }
        | ({"lenders": lenders_to_json(manifest.lenders)} if pieces else {})
        | ({"stored_digests": manifest.stored_digest.hex()} if manifest.stored_digest else {})
    )


def parse_manifest(data: bytes) -> Manifest:
    """The manifest that ``data`` spells. Raises BadImage, and nothing else."""
    try:
        value = canonical.decode(data, limit=MANIFEST_LIMIT)
        if canonical.encode(value) != data:
            raise BadImage("the manifest is damaged: not canonical JSON")
        _check_format(value)
        return _manifest(value)
    except BadPacket as error:
        raise BadImage(f"the manifest is damaged: {error.what}") from None
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise BadImage(f"the manifest is damaged: {error!r}") from None


def _check_format(value: Any) -> None:
    if not isinstance(value, dict) or value.get("format") != FORMAT_NAME:
        raise BadImage("not a Fleetcast image's manifest")
    version = whole(value["version"])
    if version not in (PLAIN_VERSION, BORROWING_VERSION):
        raise BadImage(
            f"the image is of format {version}; this Fleetcast reads formats 1 and 2",
            hint="use the Fleetcast version that made it, or a newer one",
        )
    if value["chunk_size"] != CHUNK_SIZE:
        raise BadImage(f"the image's chunk size is {value['chunk_size']!r}; it is always {CHUNK_SIZE}")


def _manifest(value: dict[str, Any]) -> Manifest:
    stored = value.get("stored_digests")
    name, source = text(value["name"]), value["source"]
    if not NAME.fullmatch(name):
        raise ValueError(f"the name {name[:120]!r}")
    disks = tuple(_disk(d) for d in listed(value["disks"]))
    packs = tuple(_pack_size(n, p) for n, p in enumerate(listed(value["packs"])))
    lenders: tuple[Lender, ...] = ()
    borrowed: tuple[BorrowedPack, ...] = ()
    if value["version"] == BORROWING_VERSION:
        lenders = lenders_from_json(value["lenders"])
        borrowed = borrowed_from_json(value["packs"], packs, len(lenders))
    return Manifest(
        name=name,
        created=_time(value["created"]),
        disks=disks,
        index_digest=hex_digest(value["index"]["digest"]),
        chunk_count=whole(value["index"]["records"]),
        packs=packs,
        source=Source(text(source["path"]), text(source["format"]), text(source["machine"])),
        made_by=text(value["made_by"]),
        boot_entries=tuple(_boot_entry(e, disks) for e in listed(value["boot_entries"])),
        boot_loaders=tuple(from_plain(BootLoader, x) for x in listed(value["boot_loaders"])),
        lenders=lenders,
        borrowed=borrowed,
        stored_digest=b"" if stored is None else hex_digest(stored),
    )


def _disk(value: Any) -> ImageDisk:
    layout = layout_from_json(value["layout"])
    in_use = from_runs(value["in_use"])
    if layout.size >= POSITION_LIMIT or (in_use and in_use[-1].end > layout.size):
        raise ValueError(f"extents in use beyond the disk's {layout.size} bytes")
    text(layout.table_uuid)
    for p in layout.partitions:
        for spelled in (p.type, p.uuid, p.name, p.fstype, p.fs_uuid, p.label, p.why):
            text(spelled)
        whole(p.number)
    unreadable = from_runs(value.get("unreadable", []))
    if intersect(in_use, unreadable) != unreadable:
        raise ValueError("unreadable bytes that are not in use")
    return ImageDisk(layout, in_use, unreadable)


def _boot_entry(value: Any, disks: Sequence[ImageDisk]) -> BootEntry:
    entry = from_plain(BootEntry, value)
    numbers = {p.number for disk in disks[entry.disk : entry.disk + 1] for p in disk.layout.partitions}
    if entry.partition not in numbers:
        raise ValueError(f"a boot entry for partition {entry.partition} of disk {entry.disk}")
    return entry


def _pack_size(number: int, value: Any) -> int:
    size = whole(value["size"])
    if value["name"] != pack_name(number) or size > PACK_LIMIT:
        raise ValueError(f"pack {number} of {size} bytes named {value['name']!r}")
    return size


def to_runs(extents: Extents) -> list[int]:
    """``extents`` as lengths in bytes of runs in turn not in use and in use, from byte 0 on."""
    runs: list[int] = []
    at = 0
    for extent in extents:
        runs += (extent.start - at, extent.length)
        at = extent.end
    return runs


def from_runs(runs: Any) -> Extents:
    """The extents that ``runs`` spells. Raises ValueError or TypeError when it spells no normal form."""
    numbers = listed(runs)
    if len(numbers) % 2 or any(whole(n) == 0 for n in numbers[1:]):
        raise ValueError("an empty or missing run of bytes in use")
    extents, at = [], 0
    for skip, length in zip(numbers[::2], numbers[1::2], strict=True):
        extents.append(Extent(at + whole(skip), length))
        at = extents[-1].end
    return tuple(extents)


def _time(value: Any) -> int:
    seconds = whole(value)
    if seconds >= TIME_LIMIT:
        raise ValueError(f"the time {seconds}")
    return seconds
