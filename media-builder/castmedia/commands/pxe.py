"""``media-builder pxe``: the files that a boot server gives to PXE-booting machines."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castmedia.pxe import Options, build
from castmedia.recipe import Profile

NAME = "pxe"
HELP = "build the PXE tree: boot loaders, kernel and boot image with the client"
EXAMPLE = "media-builder pxe --output build/pxe --profile full"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the tree to make")
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        metavar="DIR",
        help="finished stages (%(default)s)",
    )
    parser.add_argument(
        "--profile",
        type=Profile,
        choices=list(Profile),
        default=Profile.FULL,
        help="full: every wired NIC and disk controller; virtual: what virtual PCs have (%(default)s)",
    )
    parser.add_argument(
        "--mirror",
        metavar="LINE",
        help="Debian mirror, a URI or a source line (default: the host's own)",
    )
    parser.add_argument(
        "--refresh", action="store_true", help="fetch the packages again, for their security updates"
    )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Build the tree; return what it holds."""
    options = Options(args.cache.resolve(), args.profile, args.mirror, args.refresh)
    files = build(args.output, options, say=screen.say, progress=screen.progress)
    for role, file in sorted(files.items()):
        screen.say(f"  {role:<7}{file.name:<13}{human(file.size):>10}")
    loaded = files["kernel"].size + files["initrd"].size
    screen.say(f"{args.output}: PXE tree, a machine loads {human(loaded)}")
    return {
        "output": str(args.output),
        "profile": args.profile.value,
        "loaded_bytes": loaded,
        "files": {role: {"name": f.name, "size": f.size} for role, f in files.items()},
    }


def default_cache() -> Path:
    """Where finished stages are kept unless told otherwise (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleetcast"
