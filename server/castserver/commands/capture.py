"""``fleetcast capture``: a disk or a virtual disk's file becomes an image."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.disk.survey import SurveyOptions
from castcore.edge.image.bootrecord import given_entry
from castcore.edge.image.capture import CaptureOptions, VolumeKey, capture, source_holder
from castcore.edge.image.store import image_path
from castcore.image import Manifest
from castcore.units import human

from castserver.cli import arguments
from castserver.cli.imagekeys import own_key
from castserver.cli.imagescreen import add_store_argument, boot_lines, image_json, lost_lines
from castserver.cli.newimage import (
    add_new_image_arguments,
    add_sector_size_argument,
    bases,
    tell_borrowed,
)

NAME = "capture"
HELP = "capture a disk (device, or raw, qcow2, vhdx, vmdk file) as an image"
EXAMPLE = "fleetcast capture /dev/sdb win11 --store /srv/images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "sources",
        type=Path,
        nargs="+",
        metavar="SOURCE",
        help="an unmounted disk, or a disk's file; all disks of a machine can go into one image",
    )
    parser.add_argument("image", metavar="IMAGE", help="the new image: a name in the store, or a path")
    add_store_argument(parser)
    add_new_image_arguments(parser)
    add_sector_size_argument(parser)
    _add_what(parser)
    parser.add_argument(
        "--boot-entry",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help=r"what UEFI firmware shall boot, such as 'Windows=\EFI\Microsoft\Boot\bootmgfw.efi';"
        " repeated, in the order to try them (default: this machine's own entries, or what is found)",
    )


def _add_what(parser: argparse.ArgumentParser) -> None:
    """Declare what says what of a disk is taken, and what of it can be read."""
    parser.add_argument(
        "--full-sectors", action="store_true", help="take every byte, also what no file system uses"
    )
    parser.add_argument(
        "--partition",
        type=arguments.count,
        action="append",
        default=[],
        metavar="N",
        help="take only partition N (repeated: these); `restore --partition` brings it back",
    )
    parser.add_argument(
        "--trust-dirty",
        action="store_true",
        help="take only what is in use also of a file system that was not left clean (it may lose data)",
    )
    parser.add_argument(
        "--rescue",
        action="store_true",
        help="take zeros for what a failing disk cannot read any more, and list it in the image",
    )
    parser.add_argument(
        "--force-mounted",
        action="store_true",
        help="read the disk although it is in use: what changes meanwhile is broken in the image",
    )
    parser.add_argument(
        "--unlock",
        action="append",
        default=[],
        type=volume_key,
        metavar="[DISK:]PARTITION=KEYFILE",
        help="open an encrypted partition (LUKS, BitLocker) with the key in a file, to leave out what is"
        " free inside; the image holds the encrypted sectors all the same; repeated",
    )


def volume_key(text: str) -> VolumeKey:
    """``[DISK:]PARTITION=KEYFILE`` as its parts; DISK counts the sources from 0."""
    where, _, path = text.partition("=")
    disk, colon, partition = where.rpartition(":")
    numbers = (disk or "0", partition)
    if not all(number.isdecimal() for number in numbers) or bool(colon) != bool(disk) or not path:
        raise argparse.ArgumentTypeError(f"not [DISK:]PARTITION=KEYFILE: {text!r}")
    return VolumeKey(int(numbers[0]), int(partition), Path(path))


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Capture; return the image as JSON values."""
    path = image_path(args.image, args.store)
    options = _options(args, path)
    for source in args.sources if args.force_mounted else ():
        if holder := source_holder(source):
            screen.say(
                f"WARNING: {source} is in use ({holder}): what changes while it is read"
                " will be inconsistent in the image; check its file systems after a restore"
            )
    first, *more = args.sources
    manifest = capture(first, path, more=more, options=options, progress=screen.progress)
    screen.say(
        f"captured {', '.join(map(str, args.sources))} as {path}:"
        f" {human(manifest.used)} in use, {human(manifest.stored)} stored"
    )
    borrowed = tell_borrowed(options.bases, path, screen)
    for number, disk in enumerate(manifest.disks):
        for line in lost_lines(number, disk):
            screen.say(line)
    for line in (*_remarks(manifest), *boot_lines(manifest)):
        screen.say(line)
    screen.say(f"  root {manifest.index_digest.hex()}")
    return image_json(manifest, path) | borrowed


def _options(args: argparse.Namespace, path: Path) -> CaptureOptions:
    return CaptureOptions(
        level=args.level,
        replace=args.replace,
        survey=SurveyOptions(
            full_sectors=args.full_sectors,
            trust_dirty=args.trust_dirty,
            sector_size=args.sector_size,
            partitions=tuple(args.partition),
        ),
        keys=tuple(args.unlock),
        force_mounted=args.force_mounted,
        key=own_key(args),
        rescue=args.rescue,
        boot_entries=tuple(given_entry(text) for text in args.boot_entry),
        bases=bases(args, path),
    )


def _remarks(manifest: Manifest) -> Iterator[str]:
    """Each partition of which something is to be said, with its disk where there are several."""
    for number, disk in enumerate(manifest.disks):
        of_disk = f"disk {number}, " if len(manifest.disks) > 1 else ""
        for partition in disk.layout.partitions:
            if partition.why:
                yield f"  {of_disk}partition {partition.number}: {partition.taken}: {partition.why}"
