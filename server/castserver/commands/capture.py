"""``fleetcast capture``: a disk or a virtual disk's file becomes an image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.disk.survey import SurveyOptions
from castcore.edge.image.bootrecord import given_entry
from castcore.edge.image.capture import CaptureOptions, capture, source_holder
from castcore.edge.image.store import image_path
from castcore.image import DEFAULT_LEVEL, MAX_LEVEL
from castcore.units import human

from castserver.imagescreen import add_store_argument, boot_lines, image_json

NAME = "capture"
HELP = "capture a disk (device, or raw, qcow2, vhdx, vmdk file) as an image"
EXAMPLE = "fleetcast capture /dev/sdb win11 --store /srv/images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="an unmounted disk, or a disk's file"
    )
    parser.add_argument("image", metavar="IMAGE", help="the new image: a name in the store, or a path")
    add_store_argument(parser)
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
        "--full-sectors", action="store_true", help="take every byte, also what no file system uses"
    )
    parser.add_argument(
        "--trust-dirty",
        action="store_true",
        help="take only what is in use also of a file system that was not left clean (it may lose data)",
    )
    parser.add_argument(
        "--force-mounted",
        action="store_true",
        help="read the disk although it is in use: what changes meanwhile is broken in the image",
    )
    parser.add_argument(
        "--sector-size",
        type=int,
        choices=(512, 4096),
        default=0,
        help="for the raw file of a disk with other sectors than 512 bytes",
    )
    parser.add_argument(
        "--boot-entry",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help=r"what UEFI firmware shall boot, such as 'Windows=\EFI\Microsoft\Boot\bootmgfw.efi';"
        " repeated, in the order to try them (default: this machine's own entries, or what is found)",
    )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Capture; return the image as JSON values."""
    path = image_path(args.image, args.store)
    options = CaptureOptions(
        level=args.level,
        replace=args.replace,
        survey=SurveyOptions(
            full_sectors=args.full_sectors, trust_dirty=args.trust_dirty, sector_size=args.sector_size
        ),
        force_mounted=args.force_mounted,
        boot_entries=tuple(given_entry(text) for text in args.boot_entry),
    )
    if args.force_mounted and (holder := source_holder(args.source)):
        screen.say(
            f"WARNING: {args.source} is in use ({holder}): what changes while it is read"
            " will be inconsistent in the image; check its file systems after a restore"
        )
    manifest = capture(args.source, path, options=options, progress=screen.progress)
    screen.say(
        f"captured {args.source} as {path}:"
        f" {human(manifest.used)} in use, {human(manifest.stored)} stored"
    )
    for partition in manifest.disks[0].layout.partitions:
        if partition.why:
            screen.say(f"  partition {partition.number}: {partition.taken}: {partition.why}")
    for line in boot_lines(manifest):
        screen.say(line)
    screen.say(f"  root {manifest.index_digest.hex()}")
    return image_json(manifest, path)
