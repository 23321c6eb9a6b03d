"""``fleetcast image delete``: an image goes, unless others borrow from it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.image.borrowers import borrowers, require_unborrowed
from castcore.edge.image.deleting import delete_image, require_image
from castcore.edge.image.store import holdings, image_path, read_manifest
from castcore.errors import FleetcastError
from castcore.units import human

from castserver.cli.confirming import confirm

NAME = "delete"
HELP = "delete an image from its store, unless others borrow from it"
EXAMPLE = "fleetcast image delete win11-2024 --store /srv/images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name in the store, or a path")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Delete; return what went as JSON values."""
    path = image_path(args.image, args.store)
    require_image(path)
    require_unborrowed(path)
    unknown = borrowers(path).unknown
    if unknown:
        screen.warn(f"{', '.join(unknown)} cannot be read: whether they borrow from it, nobody knows")
    if not args.yes:
        confirm(f"{path} is deleted", f"{path} will be deleted: {_held(path)}.", "deleted", screen)
    freed = delete_image(path)
    screen.say(f"deleted {path}: {human(freed)} free")
    return {"path": str(path), "freed": freed}


def _held(path: Path) -> str:
    try:
        held = holdings(path, read_manifest(path))
    except FleetcastError as error:
        return error.what
    borrowed = f", {human(held.borrowed)} borrowed" if held.borrowed else ""
    return f"{human(held.stored)} stored{borrowed}"
