"""``fleetcast settings``: what a running server was told at its start, and each option."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.edge.commandline import Screen

from castserver.cli import operatorclient
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table

NAME = "settings"
HELP = "show what a running server was told at its start, and the option of each setting"
EXAMPLE = "fleetcast settings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    operatorclient.add_server(parser)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Show; the result is the API's own answer."""
    settings = Operator.of(args).get("settings")
    rows = [("SETTING", "VALUE", "OPTION OF SERVE")]
    rows += [(one["name"], one["value"] or "none", one["option"]) for one in settings]
    screen.say("\n".join(table(rows, indent="")))
    return {"settings": settings}
