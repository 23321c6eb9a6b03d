"""``fleetcast image``: what a store holds, and images made of images."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import StoredImage, image_path, list_images
from castcore.units import human

from castserver import imageshrink
from castserver.imagescreen import add_store_argument, image_json, image_lines, table

NAME = "image"
HELP = "list the images of a store, show one, or make one that fits a smaller disk"
EXAMPLE = "fleetcast image show win11 --store /srv/images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every image of the store")
    showing = actions.add_parser("show", help="one image: its disks, partitions, sizes")
    showing.add_argument("image", metavar="IMAGE", help="a name in the store, or a path")
    shrinking = actions.add_parser(
        "shrink", help=imageshrink.HELP, epilog=f"example:  {imageshrink.EXAMPLE}"
    )
    imageshrink.add_arguments(shrinking)
    for sub in (listing, showing, shrinking):
        add_store_argument(sub)
        # SUPPRESS: without it the default here would undo a --json given before the action.
        sub.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object a line"
        )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """List, show or shrink; return the same as JSON values."""
    if args.action == "shrink":
        return imageshrink.run(args, screen)
    return _list(args, screen) if args.action == "list" else _show(args, screen)


def _list(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    found = list_images(args.store)
    if not found:
        screen.say(f"{args.store} holds no image")
    else:
        rows = [("image", "disks", "in use", "stored", "problem"), *(_row(i) for i in found)]
        for line in table(rows, indent=""):
            screen.say(line)
    return {"store": str(args.store), "images": [_json(i) for i in found]}


def _row(image: StoredImage) -> tuple[str, str, str, str, str]:
    m = image.manifest
    if m is None:
        return (image.path.name, "", "", "", image.problem)
    return (image.name, str(len(m.disks)), human(m.used), human(m.stored), "")


def _json(image: StoredImage) -> dict[str, Any]:
    if image.manifest is None:
        return {"path": str(image.path), "problem": image.problem}
    return image_json(image.manifest, image.path) | {"image": image.name}


def _show(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    with Image.open(image_path(args.image, args.store)) as image:
        for line in image_lines(image.manifest):
            screen.say(line)
        if image.signed_by:
            screen.say(f"signed by key {image.signed_by.hex()}")
        signer = image.signed_by.hex() if image.signed_by else None
        return image_json(image.manifest, image.path) | {"signed_by": signer}
