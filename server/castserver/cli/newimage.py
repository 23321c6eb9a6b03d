"""What every command that makes an image takes: its level, what it replaces, signs with, is based on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import image_path
from castcore.image import DEFAULT_LEVEL, MAX_LEVEL

from castserver.cli.imagekeys import add_key_argument
from castserver.cli.imagescreen import borrowing_lines, borrowings_json


def add_new_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--level``, ``--base``, ``--replace`` and ``--state``."""
    parser.add_argument(
        "--level",
        type=int,
        choices=range(1, MAX_LEVEL + 1),
        default=DEFAULT_LEVEL,
        metavar="N",
        help=f"zstd level, 1 (fast) to {MAX_LEVEL} (small); default %(default)s",
    )
    parser.add_argument(
        "--base",
        action="append",
        default=[],
        metavar="IMAGE",
        help="store only what this image of the same store does not hold, and borrow the rest from it;"
        " repeated",
    )
    add_replace_argument(parser)
    add_key_argument(parser)


def add_replace_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--replace``."""
    parser.add_argument(
        "--replace", action="store_true", help="replace an image of that name, once the new one is whole"
    )


def add_sector_size_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--sector-size``."""
    parser.add_argument(
        "--sector-size",
        type=int,
        choices=(512, 4096),
        default=0,
        help="for the raw file of a disk with other sectors than 512 bytes",
    )


def bases(args: argparse.Namespace, new: Path) -> tuple[Path, ...]:
    """The images of ``--base``: names are those of the store that ``new`` goes to."""
    return tuple(image_path(base, new.parent) for base in args.base)


def tell_borrowed(named: Sequence[Path], new: Path, screen: Screen) -> dict[str, Any]:
    """Say what the image ``new`` borrows and so need not store, where bases were ``named``."""
    if not named:
        return {}
    with Image.open(new) as image:
        for line in borrowing_lines(image) or ["  nothing that a base has: all is stored"]:
            screen.say(line)
        return {"borrowings": borrowings_json(image)}
