"""``fleetcast backup``: one file from which the server can be brought back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castserver.cli.arguments import add_passfile
from castserver.state.statebackup import back_up
from castserver.state.statedir import default_state

NAME = "backup"
HELP = "save the server's keys and database to one file; the server may run meanwhile"
EXAMPLE = "fleetcast backup --state /var/lib/fleetcast/server --output server-2026-11-27.tar.gz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--state",
        type=Path,
        default=default_state(),
        metavar="DIR",
        help="the server's state (default: $FLEETCAST_STATE, else %(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="the file to write; it holds secrets"
    )
    add_passfile(parser)


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Write the backup."""
    backup = back_up(args.state, args.output, args.database_passfile)
    size = args.output.stat().st_size
    screen.say(
        f"{args.output}: {', '.join(backup.files)} ({human(size)}); keep it as safe as the server"
    )
    return {"output": str(args.output), "size": size, "files": backup.files, "made": backup.made}
