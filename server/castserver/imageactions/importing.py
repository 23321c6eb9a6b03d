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
from castcore.units import human

from castserver.cli.imagekeys import own_key
from castserver.cli.imagescreen import image_json
from castserver.cli.newimage import (
    add_new_image_arguments,
    add_sector_size_argument,
    bases,
    tell_borrowed,
)

NAME = "import"
HELP = "make an image of a raw, qcow2, vhdx or vmdk file, a Clonezilla folder or a partclone file"
EXAMPLE = "fleetcast image import /srv/partimag/win11-2025-01 win11"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="the file, or the Clonezilla image's folder"
    )
    parser.add_argument("image", metavar="IMAGE", help="the new image: a name in the store, or a path")
    add_new_image_arguments(parser)
    add_sector_size_argument(parser)
    parser.add_argument(
        "--full-sectors",
        action="store_true",
        help="of a disk's file, take every byte, also what no file system uses",
    )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Import; return the image as JSON values."""
    path = image_path(args.image, args.store)
    options = CaptureOptions(
        level=args.level,
        replace=args.replace,
        survey=SurveyOptions(full_sectors=args.full_sectors, sector_size=args.sector_size),
        key=own_key(args),
        bases=bases(args, path),
    )
    manifest = import_image(args.source, path, options=options, progress=screen.progress)
    screen.say(
        f"imported {args.source} ({manifest.source.format}) as {path}:"
        f" {human(manifest.used)} in use, {human(manifest.stored)} stored"
    )
    borrowed = tell_borrowed(options.bases, path, screen)
    for number, disk in enumerate(manifest.disks):
        for partition in disk.layout.partitions:
            if partition.why:
                where = f"disk {number}, partition {partition.number}"
                screen.say(f"  {where}: {partition.taken}: {partition.why}")
    screen.say(f"  root {manifest.index_digest.hex()}")
    return image_json(manifest, path) | borrowed
