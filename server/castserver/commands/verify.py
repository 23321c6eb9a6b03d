"""``fleetcast verify``: proves every byte of an image, or that a disk holds what it says."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.against import verify_against
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import image_path
from castcore.edge.image.verify import verify_image
from castcore.errors import DoesNotFit
from castcore.units import human

from castserver.cli.imagescreen import add_store_argument

NAME = "verify"
HELP = "prove that an image is whole, or that a disk holds every byte of it"
EXAMPLE = "fleetcast verify win11 --against /dev/sdb"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name in the store, or a path")
    add_store_argument(parser)
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="TARGET",
        help="compare this disk with the image (once for each disk of the image); reads only",
    )
    parser.add_argument(
        "--sector-size",
        type=int,
        choices=(512, 4096),
        default=0,
        help="for a raw file that was restored for a disk with other sectors",
    )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Verify; return what was proven as JSON values."""
    with Image.open(image_path(args.image, args.store)) as image, ExitStack() as stack:
        manifest = image.manifest
        if args.against:
            if len(args.against) != len(manifest.disks):
                raise DoesNotFit(
                    f"{manifest.name} holds {len(manifest.disks)} disks; {len(args.against)} were given"
                )
            sectors = [args.sector_size or d.layout.sector_size for d in manifest.disks]
            disks = [
                # A file has no sectors of its own, a disk has no others.
                stack.enter_context(
                    BlockFile.open_source(path, sector_size=0 if Path(path).is_block_device() else size)
                )
                for path, size in zip(args.against, sectors, strict=True)
            ]
            done = verify_against(image, disks, progress=screen.progress)
            what = f"{', '.join(args.against)} holds every byte of {manifest.name}"
        else:
            done = verify_image(image, progress=screen.progress)
            what = f"{image.path} is whole"
        signed = f", signed by key {image.signed_by.hex()}" if image.signed_by else ""
        screen.say(f"{what}: {done.chunks} chunks, {human(done.bytes)}{signed}")
        return {
            "image": manifest.name,
            "root": manifest.index_digest.hex(),
            "against": args.against,
            "chunks": done.chunks,
            "bytes": done.bytes,
        }
