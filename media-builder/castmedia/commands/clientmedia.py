"""``media-builder client-media``: a stick or CD that starts the client without a boot server."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castmedia import mediarecipe, settingsoptions, stages, stick
from castmedia.clientmedia import Built, Format, build, format_of, passing
from castmedia.settingsoptions import Choices

NAME = "client-media"
HELP = "build a stick image or ISO that starts the client: BIOS, UEFI, Secure Boot"
EXAMPLE = "media-builder client-media --output client.iso --server https://192.0.2.1:8443 --trust KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--output", type=Path, metavar="FILE", help="FILE.iso, or FILE.img for a stick")
    where.add_argument(
        "--write", metavar="DEVICE", help="write the stick DEVICE: its path, or serial:NUMBER"
    )
    parser.add_argument("--yes", metavar="SERIAL", help="confirms --write: the stick's serial number")
    parser.add_argument(
        "--format",
        type=Format,
        choices=list(Format),
        help="what it shall be, if the file's name does not say it",
    )
    parser.add_argument(
        "--extra-cmdline", metavar="WORDS", help="more words for the kernel's command line"
    )
    stages.add_arguments(parser)
    settingsoptions.add_arguments(parser)


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Build the medium; return what it is."""
    mediarecipe.apply(args, add_arguments)
    options, choices = stages.options_of(args), settingsoptions.chosen(args)
    words = args.extra_cmdline or ""
    if args.write is not None:
        return _write(args, options, choices, words, screen)
    output = mediarecipe.output_of(args)
    form: Format = args.format or format_of(output)
    built = build(output, form, options, choices, words=words, say=screen.say, progress=screen.progress)
    kind = "ISO, also for a stick" if form is Format.ISO else "stick image"
    screen.say(f"{output}: {kind}, {human(built.size)}, a machine loads {human(built.loaded)}")
    return {"output": str(output), **_shown(built, options)}


def _write(
    args: argparse.Namespace, options: stages.Options, choices: Choices, words: str, screen: Screen
) -> dict[str, Any]:
    """Build it and copy it to a stick, which is looked at before the long work too."""
    form: Format = args.format or Format.USB
    stick.chosen_stick(args.write, 0)
    with passing(form, options, choices, words=words, say=screen.say, progress=screen.progress) as built:
        facts = stick.chosen_stick(args.write, built.size)
        stick.confirm(facts, "All that is on it will be lost.", args.yes, screen)
        with stick.held(facts) as disk:
            stick.write_image(built.output, disk, progress=screen.progress)
    screen.say(f"{facts.path}: written and read back, a machine loads {human(built.loaded)}")
    return {"device": facts.path, "serial": facts.serial, **_shown(built, options)}


def _shown(built: Built, options: stages.Options) -> dict[str, Any]:
    return {
        "format": built.format.value,
        "profile": options.profile.value,
        "bytes": built.size,
        "loaded_bytes": built.loaded,
    }
