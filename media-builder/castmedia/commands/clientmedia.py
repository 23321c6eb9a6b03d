"""``media-builder client-media``: a stick or CD that starts the client without a boot server."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castmedia import mediarecipe, settingsoptions, stages
from castmedia.clientmedia import Format, build, format_of

NAME = "client-media"
HELP = "build a stick image or ISO that starts the client: BIOS, UEFI, Secure Boot"
EXAMPLE = "media-builder client-media --output client.iso --server https://192.0.2.1:8443 --trust KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("--output", type=Path, metavar="FILE", help="FILE.iso, or FILE.img for a stick")
    parser.add_argument(
        "--format",
        type=Format,
        choices=list(Format),
        help="what the file is, if its name does not say it",
    )
    parser.add_argument(
        "--extra-cmdline", metavar="WORDS", help="more words for the kernel's command line"
    )
    stages.add_arguments(parser)
    settingsoptions.add_arguments(parser)


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Build the medium; return what it is."""
    mediarecipe.apply(args, add_arguments)
    output = mediarecipe.output_of(args)
    form: Format = args.format or format_of(output)
    options, choices = stages.options_of(args), settingsoptions.chosen(args)
    words = args.extra_cmdline or ""
    built = build(output, form, options, choices, words=words, say=screen.say, progress=screen.progress)
    kind = "ISO, also for a stick" if form is Format.ISO else "stick image"
    screen.say(f"{output}: {kind}, {human(built.size)}, a machine loads {human(built.loaded)}")
    return {
        "output": str(output),
        "format": form.value,
        "profile": options.profile.value,
        "bytes": built.size,
        "loaded_bytes": built.loaded,
    }
