"""``fleetcast users``: who may log in to a running server."""

from __future__ import annotations

import argparse
import getpass
from typing import Any

from castcore.edge.commandline import Screen
from castcore.errors import Refused

from castserver.accounts.roles import Role
from castserver.cli import operatorclient
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table
from castserver.moments import utc
from castserver.wording import printable

NAME = "users"
HELP = "list, add, change or remove the people who may log in to a running server"
EXAMPLE = "fleetcast users add anna --role operator"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    operatorclient.add_actions(actions, {"list": "who may log in"})
    for name, what in (
        ("add", "let somebody log in; a password is made unless --ask"),
        ("password", "set a user's password; one is made unless --ask"),
        ("role", "change what a user may"),
        ("remove", "let somebody log in no more"),
    ):
        action = actions.add_parser(name, help=what)
        action.add_argument("user", help="the user's name")
        if name == "role":
            action.add_argument("role", type=Role, choices=list(Role))
        if name == "add":
            action.add_argument("--role", type=Role, choices=list(Role), default=Role.OPERATOR)
        if name in {"add", "password"}:
            action.add_argument("--ask", action="store_true", help="ask for the password")
        operatorclient.add_arguments(action)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer."""
    operator = Operator.of(args)
    match args.action:
        case "list":
            users = operator.get("users")
            rows = [("NAME", "ROLE", "PASSWORD SET (UTC)")]
            rows += [(printable(u["name"]), u["role"], utc(u["changed"])) for u in users]
            screen.say("\n".join(table(rows)))
            return users
        case "add":
            body = {"name": args.user, "role": args.role.value, "password": _asked(args)}
            return _told(operator.post("users", body=body), screen)
        case "password":
            password = _asked(args)
            change = {"password": password} if password is not None else {"new_password": True}
            return _told(operator.put("users", args.user, body=change), screen)
        case "role":
            return _told(operator.put("users", args.user, body={"role": args.role.value}), screen)
        case _:
            left = operator.post("users", args.user, "remove")
            screen.say(f"{printable(args.user)} may log in no more")
            return left


def _asked(args: argparse.Namespace) -> str | None:
    if not args.ask:
        return None
    password = getpass.getpass(f"password of {args.user}: ")
    if getpass.getpass("once more: ") != password:
        raise Refused("the two passwords differ", hint="try again")
    return password


def _told(user: dict[str, Any], screen: Screen) -> dict[str, Any]:
    screen.say(f"{printable(user['name'])} may log in as {user['role']}")
    if user["password"] is not None:
        screen.say(f"  password  {user['password']} (shown this once)")
    return user
