"""``fleetcast image show``: one image, its disks, partitions and sizes."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import image_path

from castserver.cli.imagescreen import borrowing_lines, borrowings_json, image_json, image_lines

NAME = "show"
HELP = "one image: its disks, partitions, sizes, what it borrows"
EXAMPLE = "fleetcast image show win11 --store /srv/images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name in the store, or a path")


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Show; return the same as JSON values."""
    with Image.open(image_path(args.image, args.store)) as image:
        for line in (*image_lines(image.manifest), *borrowing_lines(image)):
            screen.say(line)
        if image.signed_by:
            screen.say(f"signed by key {image.signed_by.hex()}")
        signer = image.signed_by.hex() if image.signed_by else None
        borrowed = {"borrowings": borrowings_json(image)}
        return image_json(image.manifest, image.path) | {"signed_by": signer} | borrowed
