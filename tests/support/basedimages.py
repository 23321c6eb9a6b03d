"""A store with an image, and a second one that was made on its base."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from castcore.disk import DiskLayout, Extent, Extents, TableType
from castcore.edge.image.bases import opened_bases
from castcore.edge.image.capture import CaptureOptions, write_image
from castcore.edge.image.newimage import new_image
from castcore.image import ImageDisk, Manifest, Source
from castcore.trust import SigningKey
from castcore.units import KIB, MIB

from tests.support.images import blank, noise, write_at

SIZE = 8 * MIB + 4 * KIB
IN_USE = (Extent(0, 5 * MIB), Extent(6 * MIB, 2 * MIB + 4 * KIB))
TEXT = b"Fleetcast casts. "


def based_image(
    store: Path,
    name: str,
    raw: Path,
    bases: Sequence[str],
    *,
    in_use: Extents = IN_USE,
    replace: bool = False,
    key: SigningKey | None = None,
) -> Path:
    """An image of what is ``in_use`` of ``raw``, made on ``bases`` of the same store."""
    plan = Manifest(
        name=name,
        created=int(time.time()),
        disks=(ImageDisk(DiskLayout(raw.stat().st_size, 512, TableType.NONE), in_use),),
        index_digest=b"",
        chunk_count=0,
        packs=(),
        source=Source(path=raw.name, format="raw"),
        made_by="fleetcast tests",
    )
    path = store / f"{name}.fcast"
    paths = tuple(store / f"{base}.fcast" for base in bases)
    with opened_bases(paths, path) as opened, new_image(path, replace=replace) as directory:
        write_image([raw], directory, plan, CaptureOptions(key=key, bases=paths), bases=opened)
    return path


def first_disk(raw: Path) -> Path:
    """A disk with chunks of noise, text, zeros, and one that is there twice."""
    blank(raw, SIZE)
    write_at(raw, 0, noise(2 * MIB, 1) + (TEXT * MIB)[:MIB])
    write_at(raw, 4 * MIB, noise(MIB, 2))
    write_at(raw, 6 * MIB, noise(MIB, 2) + noise(MIB, 3) + noise(4 * KIB, 4))
    return raw


def changed(raw: Path, *offsets: int) -> Path:
    """``raw`` with other bytes at ``offsets``."""
    for offset in offsets:
        write_at(raw, offset, noise(700, offset + 5))
    return raw


def two_images(store: Path) -> tuple[Path, Path]:
    """``base``, and ``next`` on its base with the chunks at 1 MiB and 7 MiB changed."""
    raw = first_disk(store / "disk.raw")
    base = based_image(store, "base", raw, [])
    return base, based_image(store, "next", changed(raw, MIB + 77, 7 * MIB + 9), ["base"])
