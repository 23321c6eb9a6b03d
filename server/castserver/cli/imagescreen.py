"""How commands name images and show them: shared arguments, tables, one image as JSON values."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from castcore.disk import DiskFacts, DiskLayout, layout_to_json, total
from castcore.disk.kinds import kind_of
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import default_store, holdings
from castcore.image import ImageDisk, Manifest, borrowings
from castcore.plain import to_plain
from castcore.units import exactly, human

from castserver.cli.texttable import table
from castserver.wording import printable

# Runs of unreadable bytes that are shown; `--json` and the manifest have all.
LOST_SHOWN = 20


def add_store_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--store``."""
    parser.add_argument(
        "--store",
        type=Path,
        default=default_store(),
        metavar="DIR",
        help="where images given by name are (default: $FLEETCAST_STORE, else %(default)s)",
    )


def partition_table(layout: DiskLayout) -> list[str]:
    """The partitions of ``layout``, what an image holds of each, and why."""
    if not layout.partitions:
        return ["  no partitions"]
    rows = [("#", "start", "size", "kind", "holds", "name", "taken")]
    for p in layout.partitions:
        taken = f"{p.taken} ({p.why})" if p.why else str(p.taken)
        holds = p.fstype or "unknown"
        place = (str(p.number), human(p.start), human(p.length))
        rows.append((*place, kind_of(p), holds, p.label or p.name, taken))
    return table(rows)


def disk_line(layout: DiskLayout) -> str:
    """One line about a disk: size, sector size and table."""
    kind = "no partition table" if layout.table == "none" else f"{layout.table} partition table"
    return f"{exactly(layout.size)}, sectors of {layout.sector_size} bytes, {kind}"


def target_lines(facts: DiskFacts, *, erased: bool = True) -> list[str]:
    """A target disk and what is on it now, and that it will be ``erased``."""
    known = " ".join(word for word in (facts.model, facts.serial) if word)
    lines = [f"target {facts.path}" + (f"  ({known})" if known else "") + f"  {exactly(facts.size)}"]
    if facts.layout is None or not facts.layout.partitions:
        return [*lines, "  holds no partitions now"]
    rows = [
        (str(p.number), human(p.length), p.fstype or "unknown", p.label or p.name)
        for p in facts.layout.partitions
    ]
    return [
        *lines,
        "  WILL BE ERASED:" if erased else "  holds now:",
        *table([("#", "size", "holds", "name"), *rows]),
    ]


def image_lines(manifest: Manifest) -> list[str]:
    """An image as a whole: what it is and every disk it holds."""
    taken = datetime.fromtimestamp(manifest.created, UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = f" of {manifest.source.machine}" if manifest.source.machine else ""
    source = printable(f"{manifest.source.path}{machine} ({manifest.source.format})")
    packs = f"{human(sum(manifest.packs))} in {len(manifest.packs)} packs"
    lines = [
        f"image {manifest.name}  captured {taken} from {source}",
        f"  {human(manifest.used)} in use, {packs}, {manifest.chunk_count} chunks",
        f"  root {manifest.index_digest.hex()}",
    ]
    for number, disk in enumerate(manifest.disks):
        lines.append(f"disk {number}: {disk_line(disk.layout)}, {human(total(disk.in_use))} in use")
        if disk.layout.left_out:
            without = ", ".join(map(str, disk.layout.left_out))
            lines.append(f"  NO WHOLE DISK: captured without partition {without}")
        lines += lost_lines(number, disk)
        lines += partition_table(disk.layout)
    return lines + boot_lines(manifest)


def boot_lines(manifest: Manifest) -> list[str]:
    """What a UEFI firmware will be told to boot, in its order."""
    return [
        f"  boot entry {printable(e.description)}: {printable(e.loader) or 'the default loader'}"
        f" on disk {e.disk}, partition {e.partition}" + ("" if e.active else " (switched off)")
        for e in manifest.boot_entries
    ]


def lost_lines(number: int, disk: ImageDisk) -> list[str]:
    """What could not be read of the source of disk ``number``, each run of it."""
    if not disk.unreadable:
        return []
    runs = ", ".join(f"{e.start}-{e.end - 1}" for e in disk.unreadable[:LOST_SHOWN])
    more = "" if len(disk.unreadable) <= LOST_SHOWN else f" and {len(disk.unreadable) - LOST_SHOWN} more"
    lost = exactly(total(disk.unreadable))
    return [f"  disk {number}: {lost} could not be read and are zeros in the image: bytes {runs}{more}"]


def borrowing_lines(image: Image) -> list[str]:
    """What an image has from which other images."""
    return [
        f"  {human(b.bytes)} in {b.chunks} chunks are borrowed from {b.lender}, not stored again"
        for b in borrowings(image.manifest, image.index, image.borrowed)
    ]


def borrowings_json(image: Image) -> list[dict[str, Any]]:
    """The same as JSON values; sizes in bytes."""
    found = borrowings(image.manifest, image.index, image.borrowed)
    return [{"image": b.lender, "chunks": b.chunks, "bytes": b.bytes} for b in found]


def image_json(manifest: Manifest, path: Path) -> dict[str, Any]:
    """An image as JSON values; sizes in bytes. What is ``stored`` is in its own packs."""
    held = holdings(path, manifest)
    return {
        "image": manifest.name,
        "path": str(path),
        "created": manifest.created,
        "root": manifest.index_digest.hex(),
        "used": manifest.used,
        "stored": held.stored,
        "borrowed": held.borrowed,
        "lenders": list(held.lenders),
        "chunks": manifest.chunk_count,
        "packs": len(manifest.packs),
        "boot_entries": to_plain(manifest.boot_entries),
        "boot_loaders": to_plain(manifest.boot_loaders),
        "disks": [
            {
                "in_use": total(d.in_use),
                "left_out": list(d.layout.left_out),
                "unreadable": [[e.start, e.length] for e in d.unreadable],
                "layout": layout_to_json(d.layout),
            }
            for d in manifest.disks
        ],
    }
