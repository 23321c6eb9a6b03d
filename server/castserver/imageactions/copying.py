"""``fleetcast image copy``: an image goes to another store, whole."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.image.copying import copy_image
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import SUFFIX, image_path
from castcore.errors import NotFound
from castcore.units import human

from castserver.cli.newimage import add_replace_argument

NAME = "copy"
HELP = "copy an image to another store, such as a USB medium, with all that it borrows"
EXAMPLE = "fleetcast image copy win11 /media/stick"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name in the store, or a path")
    parser.add_argument(
        "dest",
        type=Path,
        metavar="DEST",
        help="the other store, a directory; or the copy's own path, NAME.fcast",
    )
    add_replace_argument(parser)


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Copy; return what was copied as JSON values."""
    with Image.open(image_path(args.image, args.store)) as image:
        final = _final(image, args.dest)
        copied = copy_image(image, final, replace=args.replace, progress=screen.progress)
        screen.say(f"copied {image.path} as {final}: {human(copied.bytes)}, read back and proven")
        if copied.borrowed:
            screen.say(f"  {human(copied.borrowed)} of it were borrowed; the copy needs no other image")
        return {
            "image": image.manifest.name,
            "path": str(final),
            "root": image.manifest.index_digest.hex(),
            "bytes": copied.bytes,
            "borrowed": copied.borrowed,
            "signed_by": image.signed_by.hex() if image.signed_by else None,
        }


def _final(image: Image, dest: Path) -> Path:
    """The copy's path. Raises NotFound: a medium that is not there is not made up on this disk."""
    final = image_path(str(dest), dest.parent) if dest.name.endswith(SUFFIX) else dest / image.path.name
    if not final.parent.is_dir():
        raise NotFound(
            f"there is no directory {final.parent}", hint="mount the medium, or make the directory"
        )
    return final
