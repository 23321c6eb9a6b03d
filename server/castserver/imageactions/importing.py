"""``fleetcast image import``: a disk's file or another program's image becomes an image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.disk.survey import SurveyOptions
from castcore.edge.foreign.importing import import_image
from castcore.edge.image.capture import CaptureOptions
from castcore.edge.image.store import image_path
from castcore.image import DEFAULT_LEVEL, MAX_LEVEL
from castcore.units import human

from castserver.imagekeys import add_key_argument, own_key
from castserver.imagescreen import image_json

NAME = "import"
HELP = "make an image of a raw, qcow2, vhdx or vmdk file, a Clonezilla folder or a partclone file"
EXAMPLE = "fleetcast image import /srv/partimag/win11-2025-01 win11"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="the file, or the Clonezilla image's folder"
    )
    parser.add_argument("image", metavar="IMAGE", help="the new image: a name in the store, or a path")
    parser.add_argument(
        "--level",
        type=int,
        choices=range(1, MAX_LEVEL + 1),
        default=DEFAULT_LEVEL,
        metavar="N",
        help=f"zstd level, 1 (fast) to {MAX_LEVEL} (small); default %(default)s",
    )
    parser.add_argument(
        "--replace", action="store_true", help="replace an image of that name, once the new one is whole"
    )
    parser.add_argument(
        "--full-sectors",
        action="store_true",
        help="of a disk's file, take every byte, also what no file system uses",
    )
    parser.add_argument(
        "--sector-size",
        type=int,
        choices=(512, 4096),
        default=0,
        help="for the raw file of a disk with other sectors than 512 bytes",
    )
    add_key_argument(parser)


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Import; return the image as JSON values."""
    path = image_path(args.image, args.store)
    options = CaptureOptions(
        level=args.level,
        replace=args.replace,
        survey=SurveyOptions(full_sectors=args.full_sectors, sector_size=args.sector_size),
        key=own_key(args),
    )
    manifest = import_image(args.source, path, options=options, progress=screen.progress)
    screen.say(
        f"imported {args.source} ({manifest.source.format}) as {path}:"
        f" {human(manifest.used)} in use, {human(manifest.stored)} stored"
    )
    for number, disk in enumerate(manifest.disks):
        for partition in disk.layout.partitions:
            if partition.why:
                where = f"disk {number}, partition {partition.number}"
                screen.say(f"  {where}: {partition.taken}: {partition.why}")
    screen.say(f"  root {manifest.index_digest.hex()}")
    return image_json(manifest, path)
