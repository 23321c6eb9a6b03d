"""``fleetcast unit``: the systemd unit of a server that is started with these options."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen

from castserver.statedir import default_state
from castserver.unitfile import unit

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
    parser = argparse.ArgumentParser(prog="fleetcast serve")
    serve.add_arguments(parser)
    given = parser.parse_args(args.options)
    program = shutil.which(sys.argv[0]) or str(Path(sys.argv[0]).resolve())
    # Started as a module, the program has no file that systemd could run.
    module = [sys.executable, "-m", "castserver"]
    own = [str(Path(program).absolute())] if os.access(program, os.X_OK) else module
    command = [*own, "serve", *args.options]
    text = unit(command, str(given.state or default_state()))
    screen.say(text.rstrip())
    return {"unit": text}
