"""``fleetcast tokens``: what scripts carry to call a running server."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.edge.commandline import Screen

from castserver.accounts.roles import Role
from castserver.cli import operatorclient
from castserver.cli.arguments import count
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table
from castserver.moments import utc
from castserver.wording import printable

NAME = "tokens"
HELP = "list, make or revoke the tokens by which scripts call a running server"
EXAMPLE = "fleetcast tokens make nightly --role operator --days 365"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    operatorclient.add_actions(actions, {"list": "the tokens that have not expired"})
    make = actions.add_parser("make", help="make a token; its secret is shown this once")
    make.add_argument("name", help="what it is for")
    make.add_argument("--role", type=Role, choices=list(Role), default=Role.VIEWER, help="(%(default)s)")
    make.add_argument("--days", type=count, default=90, help="how long it is good (%(default)s)")
    operatorclient.add_arguments(make)
    operatorclient.add_actions(actions, {"revoke": "let a token do nothing more"}, ("token", "its id"))


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer."""
    operator = Operator.of(args)
    match args.action:
        case "list":
            tokens = operator.get("tokens")
            rows = [("ID", "NAME", "ROLE", "MADE BY", "EXPIRES (UTC)", "LAST USED (UTC)")]
            for t in tokens:
                used = utc(t["used"]) if t["used"] is not None else ""
                made_by = printable(t["made_by"])
                rows.append((t["id"], printable(t["name"]), t["role"], made_by, utc(t["expires"]), used))
            screen.say("\n".join(table(rows)))
            return tokens
        case "make":
            body = {"name": args.name, "role": args.role.value, "days": args.days}
            token = operator.post("tokens", body=body)
            screen.say(f"token {token['id']} for {printable(token['name'])}, {token['role']}")
            screen.say(f"  secret  {token['secret']} (shown this once)")
            return token
        case _:
            left = operator.post("tokens", args.token, "revoke")
            screen.say(f"token {printable(args.token)} does nothing more")
            return left
