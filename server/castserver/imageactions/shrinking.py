"""``fleetcast image shrink``: a derived image that fits a smaller disk."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.disk import Move
from castcore.edge.commandline import Screen
from castcore.edge.image.imagefile import Image
from castcore.edge.image.shrink import ShrinkOptions, shrink
from castcore.edge.image.store import image_path
from castcore.units import exactly, human

from castserver.cli import arguments
from castserver.cli.imagekeys import own_key
from castserver.cli.imagescreen import image_json
from castserver.cli.newimage import add_new_image_arguments, bases, tell_borrowed

NAME = "shrink"
HELP = "make an image that fits a smaller disk; the one it is made from stays as it is"
EXAMPLE = "fleetcast image shrink win11 win11-small --size 120GB"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="the image to start from: a name, or a path")
    parser.add_argument("new", metavar="NEW", help="the image to make")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--size",
        type=arguments.size,
        default=0,
        metavar="SIZE",
        help='the smaller disk: bytes, or such as "120GB" (10^9) and "64GiB"',
    )
    how.add_argument("--minimum", action="store_true", help="as small as its file systems can get")
    add_new_image_arguments(parser)


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Shrink; return the new image as JSON values."""
    new = image_path(args.new, args.store)
    options = ShrinkOptions(
        size=args.size,
        level=args.level,
        replace=args.replace,
        key=own_key(args),
        bases=bases(args, new),
    )
    with Image.open(image_path(args.image, args.store)) as image:
        manifest, shrunk = shrink(image, new, options, progress=screen.progress)
    screen.say(f"{new} fits a disk of {exactly(shrunk.size)}; {human(manifest.stored)} stored")
    borrowed = tell_borrowed(options.bases, new, screen)
    changed = [move for move in shrunk.moves if move.after != move.before]
    for move in changed:
        screen.say(f"  {_said(move)}")
    moves = [_json(move) for move in changed]
    return image_json(manifest, new) | borrowed | {"size": shrunk.size, "moves": moves}


def _said(move: Move) -> str:
    words = []
    if move.shrinks:
        words.append(f"from {human(move.before.length)} to {human(move.after.length)}")
    if move.after.start != move.before.start:
        words.append(f"moved from byte {move.before.start} to {move.after.start}")
    return f"partition {move.number}: {', '.join(words)}"


def _json(move: Move) -> dict[str, Any]:
    return {
        "partition": move.number,
        "old_start": move.before.start,
        "old_length": move.before.length,
        "start": move.after.start,
        "length": move.after.length,
    }
