"""``fleetcast audit``: who did what at a running server, and whether that record is whole."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.edge.commandline import Screen
from castcore.errors import Untrusted

from castserver.cli import arguments, operatorclient
from castserver.cli.arguments import count
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table
from castserver.moments import utc
from castserver.wording import printable

NAME = "audit"
HELP = "show who did what at a running server, or prove that this record was not changed"
EXAMPLE = "fleetcast audit show --last 20\n  fleetcast audit show --who anna --since 2026-11-01 --failed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="the newest entries, the newest last")
    show.add_argument("--last", type=count, default=100, help="how many (%(default)s)")
    show.add_argument("--who", metavar="NAME", help="what this user did; or 'token NAME', or 'server'")
    show.add_argument("--text", metavar="TEXT", help="with this somewhere in the entry")
    show.add_argument("--failed", action="store_true", help="only what was refused or went wrong")
    show.add_argument("--since", type=arguments.day, metavar="DAY", help="from this day on (UTC)")
    show.add_argument(
        "--until", type=arguments.day, metavar="DAY", help="up to the end of this day (UTC)"
    )
    operatorclient.add_arguments(show)
    operatorclient.add_actions(actions, {"verify": "follow the chain of hashes through all of it"})


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer. Raises Untrusted for a log that was changed."""
    operator = Operator.of(args)
    if args.action == "verify":
        proof = operator.get("audit", "proof")
        if proof["broken"] is not None:
            raise Untrusted(f"entry {proof['broken']} of the audit log was changed, or is missing")
        screen.say(f"all entries up to number {proof['entries']} are as they were written")
        if proof["waiting"]:
            screen.say(f"{proof['waiting']} more are not in the database yet, which is away or full")
        return proof
    entries = _newest(operator, args.last, _asked(args))
    rows = [("NUMBER", "TIME (UTC)", "WHO", "FROM", "WHAT", "")]
    for e in entries:
        what = printable(f"{e['action']} {e['detail']}")
        told = printable(e["outcome"])
        rows.append((str(e["number"]), utc(e["time"]), printable(e["who"]), e["address"], what, told))
    screen.say("\n".join(table(rows)))
    return entries


def _asked(args: argparse.Namespace) -> dict[str, object]:
    asked = {name: getattr(args, name) for name in ("who", "text", "since", "until")}
    given: dict[str, object] = {name: value for name, value in asked.items() if value is not None}
    return given | ({"failed": "true"} if args.failed else {})


def _newest(operator: Operator, wanted: int, asked: dict[str, object]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    before: dict[str, object] = {}
    while len(entries) < wanted:
        limit = min(1000, wanted - len(entries))
        page = operator.get("audit", query={"limit": limit} | asked | before)
        if not page:
            break
        entries += page
        before = {"before": page[-1]["number"]}
    return entries[::-1]
