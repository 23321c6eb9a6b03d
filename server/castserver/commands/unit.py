"""``fleetcast unit``: the systemd unit of a server that is started with these options."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.image.store import default_store

from castserver.state.unitfile import unit

NAME = "unit"
HELP = "print the systemd unit of a server with these options of `fleetcast serve`"
EXAMPLE = (
    "fleetcast unit -- --images /srv/images --interface eth1 > /etc/systemd/system/fleetcast.service"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "options", nargs="*", metavar="OPTION", help="behind `--`: what `fleetcast serve` is to be given"
    )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Print the unit; options that `serve` does not take are refused."""
    # It brings the whole server along, which the list of all commands must not wait for.
    serve = importlib.import_module("castserver.commands.serve")
    parser = argparse.ArgumentParser(prog="fleetcast serve", allow_abbrev=False)
    serve.add_arguments(parser)
    given = parser.parse_args(args.options)
    given.images = given.images or [default_store()]
    program = shutil.which(sys.argv[0]) or str(Path(sys.argv[0]).resolve())
    # Started as a module, the program has no file that systemd could run.
    module = [sys.executable, "-m", "castserver"]
    own = [str(Path(program).absolute())] if os.access(program, os.X_OK) else module
    command = [*own, "serve", *_everywhere(given, args.options)]
    text = unit(command, (_absolute(given.state), _absolute(given.images[0])), _ledgers(given.media))
    screen.say(text.rstrip())
    return {"unit": text}


def _everywhere(given: argparse.Namespace, options: Sequence[str]) -> list[str]:
    """The ``options``, parsed as ``given``, so that they mean the same from any directory.

    What is the default here, by this environment, is named too.
    """
    values = {name: value if isinstance(value, list) else [value] for name, value in vars(given).items()}
    paths = {
        f"--{name.replace('_', '-')}": value
        for name, value in values.items()
        if value and all(isinstance(one, Path) for one in value)
    }
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in paths:
        parser.add_argument(option, action="append")
    _, others = parser.parse_known_args(options)
    named = [
        word for option, value in paths.items() for one in value for word in (option, _absolute(one))
    ]
    return [*others, *named]


def _ledgers(media: Sequence[Path]) -> tuple[str, ...]:
    """Where the image files of ``media`` are, whose ledgers are written; devices need nothing."""
    folders = dict.fromkeys(str(Path(_absolute(path)).parent) for path in media)
    return tuple(folder for folder in folders if folder != "/dev" and not folder.startswith("/dev/"))


def _absolute(path: Path) -> str:
    # Links stay: what names a disk for good is one.
    return os.path.normpath(path.absolute())
