"""``fleetcast restore-state``: a server's state directory from a backup, here or elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen

from castserver.cli.arguments import add_passfile
from castserver.database.databaseplace import parse_url
from castserver.moments import utc
from castserver.state.statebackup import bring_back
from castserver.state.statedir import default_state

NAME = "restore-state"
HELP = "make a server's state directory of what `fleetcast backup` saved"
EXAMPLE = "fleetcast restore-state server-2026-11-27.tar.gz --state /var/lib/fleetcast/server"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("backup", type=Path, help="the file that `fleetcast backup` wrote")
    parser.add_argument(
        "--state",
        type=Path,
        default=default_state(),
        metavar="DIR",
        help="a new or empty directory (default: $FLEETCAST_STATE, else %(default)s)",
    )
    parser.add_argument(
        "--database", metavar="URL", help="put the database there, not into the directory"
    )
    add_passfile(parser)


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Bring the state back."""
    place = parse_url(args.database) if args.database else None
    backup = bring_back(args.backup, args.state, place, args.database_passfile)
    screen.say(f"{args.state} is as it was at {utc(backup.made)} UTC: {', '.join(backup.files)}")
    return {"state": str(args.state), "made": backup.made, "files": backup.files}
