"""``fleetcast media``: the deploy media of a running server."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castserver.cli import operatorclient
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table
from castserver.wording import printable

NAME = "media"
HELP = "show a running server's deploy media: which are connected, which one is used"
EXAMPLE = "fleetcast media list"
LIST = "the connected media; the one connected last is used, until it is pulled out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    operatorclient.add_actions(actions, {"list": LIST})


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Show them; the result is the API's own answer."""
    operator = Operator.of(args)
    media = operator.get("media")
    on_media = [one for one in operator.get("images") if one["where"] != "library"]
    screen.say("\n".join(_lines(media, on_media)))
    return media


def _lines(media: dict[str, Any], images: list[dict[str, Any]]) -> list[str]:
    lines = [media["state"] + (f": {printable(media['why'])}" if media["why"] else "")]
    if media["media"]:
        rows = [("MEDIUM", "SIZE", "WHERE", "")]
        rows += [(m["name"] or "?", human(m["size"]), m["where"], _note(m)) for m in media["media"]]
        lines += table(rows)
    return lines + [f"  image {one['image']}" for one in images]


def _note(medium: dict[str, Any]) -> str:
    if medium["problem"]:
        return str(medium["problem"])
    return "used" if medium["used"] else "not used: connect it again"
