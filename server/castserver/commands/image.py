"""``fleetcast image``: what a store holds, and images made of others."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.edge.commandline import Command, Screen

from castserver.cli.imagescreen import add_store_argument
from castserver.imageactions import (
    copying,
    deleting,
    exporting,
    importing,
    listing,
    serving,
    showing,
    shrinking,
    signing,
)

NAME = "image"
HELP = "list, show, import, export, copy, delete, sign and serve images, make one fit a smaller disk"
EXAMPLE = "fleetcast image show win11 --store /srv/images"

ACTIONS: tuple[Command, ...] = (
    listing,
    showing,
    importing,
    exporting,
    serving,
    shrinking,
    signing,
    copying,
    deleting,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action in ACTIONS:
        sub = actions.add_parser(
            action.NAME,
            help=action.HELP,
            description=action.HELP,
            epilog=f"example:\n  {action.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_store_argument(sub)
        # SUPPRESS: without it the default here would undo a --json given before the action.
        sub.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object a line"
        )
        action.add_arguments(sub)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do what was asked; return the same as JSON values."""
    return next(action for action in ACTIONS if args.action == action.NAME).run(args, screen)
