"""``media-builder pxe``: the files that a boot server gives to PXE-booting machines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castmedia import mediarecipe, settingsoptions, stages
from castmedia.pxe import build

NAME = "pxe"
HELP = "build the PXE tree: boot loaders, kernel and boot image with the client"
EXAMPLE = "media-builder pxe --output build/pxe --profile full"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("--output", type=Path, metavar="DIR", help="the tree to make")
    stages.add_arguments(parser)
    settingsoptions.add_arguments(parser)


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Build the tree; return what it holds."""
    mediarecipe.apply(args, add_arguments)
    output = mediarecipe.output_of(args)
    options, choices = stages.options_of(args), settingsoptions.chosen(args)
    files = build(output, options, choices=choices, say=screen.say, progress=screen.progress)
    for role, file in sorted(files.items()):
        screen.say(f"  {role:<9}{file.name:<13}{human(file.size):>10}")
    loaded = sum(files[role].size for role in ("kernel", "initrd", "settings") if role in files)
    screen.say(f"{output}: PXE tree, a machine loads {human(loaded)}")
    return {
        "output": str(output),
        "profile": options.profile.value,
        "loaded_bytes": loaded,
        "files": {role: {"name": f.name, "size": f.size} for role, f in files.items()},
    }
