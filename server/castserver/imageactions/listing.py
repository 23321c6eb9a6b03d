"""``fleetcast image list``: every image of a store."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.image.store import StoredImage, holdings, list_images
from castcore.units import human

from castserver.cli.imagescreen import image_json
from castserver.cli.texttable import table

NAME = "list"
HELP = "every image of the store"
EXAMPLE = "fleetcast image list --store /srv/images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing: the store is everybody's argument."""


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """List; return the same as JSON values."""
    found = list_images(args.store)
    if not found:
        screen.say(f"{args.store} holds no image")
    else:
        rows = [("image", "disks", "in use", "stored", "borrowed", "problem"), *(_row(i) for i in found)]
        for line in table(rows, indent=""):
            screen.say(line)
    return {"store": str(args.store), "images": [_json(i) for i in found]}


def _row(image: StoredImage) -> tuple[str, ...]:
    m = image.manifest
    if m is None:
        return (image.path.name, "", "", "", "", image.problem)
    held = holdings(image.path, m)
    borrowed = f"{human(held.borrowed)} from {', '.join(held.lenders)}" if held.borrowed else ""
    return (image.name, str(len(m.disks)), human(m.used), human(held.stored), borrowed, "")


def _json(image: StoredImage) -> dict[str, Any]:
    if image.manifest is None:
        return {"path": str(image.path), "problem": image.problem}
    return image_json(image.manifest, image.path) | {"image": image.name}
