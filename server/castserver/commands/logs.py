"""``fleetcast logs``: everything that support wants to see, taken home in one archive."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castserver import newfile, operatorclient
from castserver.operatorclient import Operator

NAME = "logs"
HELP = "collect the logs of machines and of a running server in one archive, without secrets"
EXAMPLE = (
    "fleetcast logs collect --output support.tar.gz\n"
    "  fleetcast logs collect m4716fe48 m99c01d2a --output two.tar.gz"
)
MOST_BYTES = 256 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    collect = actions.add_parser(
        "collect", help="state, hardware, kernel and client logs, the server's own log, as a tar.gz"
    )
    collect.add_argument(
        "machines", nargs="*", metavar="MACHINE", help="ids, names or MACs; default: every machine"
    )
    collect.add_argument("--output", type=Path, required=True, metavar="FILE", help="the new archive")
    operatorclient.add_arguments(collect)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Collect; the result is the archive's path and size. Raises what the server answers, DiskFailed."""
    output: Path = args.output
    newfile.require_new(output)
    query = [("machine", name) for name in args.machines]
    data = Operator.of(args).fetch("logs", query=query, limit=MOST_BYTES)
    newfile.write(output, data)
    screen.say(f"{output}: {human(len(data))}")
    return {"output": str(output), "bytes": len(data)}
