"""``fleetcast database``: move a server's database to another place."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.errors import NotFound

from castserver.database.databasecopy import Passfiles, move
from castserver.database.databaseplace import PostgresPlace, place_of
from castserver.state.statelock import hold_state

NAME = "database"
HELP = "move a server's database from its file to a PostgreSQL server, or back"
EXAMPLE = "fleetcast database copy /var/lib/fleetcast/server postgresql://fleetcast@dbhost/fleetcast"
_PLACE = "a state directory (the file in it), or the URL of a PostgreSQL database, without a password"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    copy = actions.add_parser(
        "copy",
        help="copy everything; what it is copied from is not started from any more",
        description="Copies a database; its server must not run. Start it then with `fleetcast serve"
        " --database URL` (or `--database sqlite`).",
    )
    copy.add_argument("source", metavar="FROM", help=_PLACE)
    copy.add_argument(
        "target", metavar="TO", help=f"{_PLACE}; empty, or one that was copied from before"
    )
    for end in ("from", "to"):
        copy.add_argument(
            f"--{end}-passfile",
            type=Path,
            metavar="FILE",
            help=f"the file with the password for {end.upper()} (default: $PGPASSFILE, else ~/.pgpass)",
        )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Copy."""
    source, target = place_of(args.source), place_of(args.target)
    if not isinstance(source, PostgresPlace) and not source.is_file():
        raise NotFound(f"there is no database {source}", hint="name the state directory of a server")
    with ExitStack() as held:
        for place in (source, target):
            if not isinstance(place, PostgresPlace):
                held.callback(os.close, hold_state(place.parent))
        rows = move(source, target, Passfiles(args.from_passfile, args.to_passfile))
    screen.say(f"{sum(rows.values())} rows of {source} are in {target} now.")
    word = target if isinstance(target, PostgresPlace) else "sqlite"
    screen.say(f"Next: fleetcast serve --database {word} ...")
    return {"from": str(source), "to": str(target), "rows": rows}
