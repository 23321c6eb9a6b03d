"""``fleetcast licences``: what a running server's media have left of their licences."""

from __future__ import annotations

import argparse
import time
from typing import Any

from castcore.edge.commandline import Screen

from castserver.cli import operatorclient
from castserver.cli.arguments import count
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table
from castserver.moments import utc
from castserver.wording import date, printable

NAME = "licences"
HELP = "list the licences of a running server's media and who took them, or give back stray ones"
MOST_USES = 1000
EXAMPLE = "fleetcast licences list\n  fleetcast licences uses --last 30"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    operatorclient.add_actions(
        actions, {"list": "per medium: product, left, reserved, consumed, expiry"}
    )
    uses = actions.add_parser("uses", help="who took a licence for which cast, and when")
    uses.add_argument("--last", type=count, default=100, help="how many at most (%(default)s)")
    operatorclient.add_arguments(uses)
    release = {"release": "give back what is reserved for no cast of this server"}
    operatorclient.add_actions(actions, release, ("medium", "the medium's name"))


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer."""
    operator = Operator.of(args)
    if args.action == "release":
        answer = operator.post("licences", args.medium, "release")
        screen.say(f"{answer['released']} licences were given back")
        return answer
    if args.action == "uses":
        found = operator.get("licences", "uses", query={"limit": min(args.last, MOST_USES)})
        screen.say("\n".join(_use_lines(found)))
        return found
    media = operator.get("licences")
    screen.say("\n".join(map(printable, _lines(media, time.time()))))
    return {"media": media}


def _use_lines(found: dict[str, Any]) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("CHANGED (UTC)", "IMAGE", "MACHINE", "CAST", "STATE", "STARTED BY", "LEDGER")
    ]
    for use in found["uses"]:
        told = (use["image"], use["machine"], use["cast"], use["state"], use["by"], use["ledger"][:8])
        rows.append((utc(use["changed"]), *told))
    more = [f"{found['total']} in all"] if found["total"] > len(found["uses"]) else []
    return [*table(rows, indent=""), *more]


def _lines(media: list[dict[str, Any]], now: float) -> list[str]:
    rows = [("MEDIUM", "PRODUCT", "LEFT", "RESERVED", "CONSUMED", "OF", "EXPIRES", "NOTE")]
    for medium in media:
        for own in medium["licences"]:
            counts = (str(own[word]) for word in ("left", "reserved", "consumed", "count"))
            note = "" if own["trusted"] else "its issuer is not trusted here"
            expires = date(own["expires"], now)
            rows.append((medium["medium"], own["product"], *counts, expires, note))
    lines = table(rows, indent="") if len(rows) > 1 else ["No licence is connected."]
    for medium in media:
        problems = [medium["problem"], medium["hint"], *medium["notes"]]
        lines += [f"{medium['medium']}: {text}" for text in problems if text]
    return lines
