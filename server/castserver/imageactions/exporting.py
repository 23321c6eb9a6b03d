"""``fleetcast image export``: an image becomes disk files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.image.exporting import FileFormat, export
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import image_path
from castcore.units import human

from castserver.cli import arguments

NAME = "export"
HELP = "write the disks of an image to raw or qcow2 files"
EXAMPLE = "fleetcast image export win11 win11.qcow2 --format qcow2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name in the store, or a path")
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="the file to make; of an image with several disks FILE-0, FILE-1 and so on",
    )
    parser.add_argument(
        "--format",
        choices=[*FileFormat],
        type=FileFormat,
        default=FileFormat.RAW,
        help="raw (sparse) or qcow2; default %(default)s",
    )
    parser.add_argument(
        "--partition",
        type=arguments.partition,
        metavar="N",
        help="only partition N, as a file that begins with it (D:N: of disk D of several)",
    )
    parser.add_argument(
        "--replace", action="store_true", help="replace files of that name, once the new ones are whole"
    )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Export; return the files as JSON values."""
    with Image.open(image_path(args.image, args.store)) as image:
        files = export(
            image,
            args.file,
            args.format,
            partition=args.partition,
            replace=args.replace,
            progress=screen.progress,
        )
        what = "a partition" if args.partition else "a disk"
        for file in files:
            sizes = f"{what} of {human(file.size)}, {human(file.allocated)} on the file system"
            screen.say(f"exported {image.manifest.name} as {file.path}: {sizes}, read back and proven")
        return {
            "image": image.manifest.name,
            "root": image.manifest.index_digest.hex(),
            "format": str(args.format),
            "files": [{"path": str(f.path), "size": f.size, "allocated": f.allocated} for f in files],
        }
