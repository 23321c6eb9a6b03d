"""``fleetcast logs``: a running server's log, those of machines, and all for support in one archive."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castserver.cli import newfile, operatorclient
from castserver.cli.arguments import count
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table
from castserver.moments import utc
from castserver.wording import printable

NAME = "logs"
HELP = (
    "show the logs of machines and of a running server, or collect all in one archive, without secrets"
)
EXAMPLE = (
    "fleetcast logs collect --output support.tar.gz\n"
    "  fleetcast logs collect m4716fe48 m99c01d2a --output two.tar.gz\n"
    "  fleetcast logs show --last 50              (the server's own)\n"
    "  fleetcast logs show m4716fe48              (the newest of that machine)"
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
    operatorclient.add_actions(actions, {"list": "which logs of machines are kept"})
    show = actions.add_parser("show", help="the end of the server's own log, or a log of a machine")
    show.add_argument("machine", nargs="?", metavar="MACHINE", help="its id (default: the server)")
    show.add_argument("number", nargs="?", type=count, help="which of its logs (default: the newest)")
    show.add_argument("--last", type=count, default=200, help="lines of the server's log (%(default)s)")
    operatorclient.add_arguments(show)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer. Raises what the server answers, DiskFailed."""
    match args.action:
        case "collect":
            return _collect(args, screen)
        case "list":
            files = Operator.of(args).get("logs", "machines")
            rows = [("WHEN (UTC)", "MACHINE", "NUMBER", "SIZE")]
            rows += [(utc(f["when"]), f["machine"], str(f["number"]), human(f["size"])) for f in files]
            screen.say("\n".join(table(rows, indent="")))
            return {"logs": files}
        case _ if args.machine is None:
            lines = Operator.of(args).get("logs", "server", query={"lines": args.last})
            screen.say("\n".join(map(printable, lines)))
            return {"lines": lines}
        case _:
            return _show(Operator.of(args), args.machine, args.number, screen)


def _collect(args: argparse.Namespace, screen: Screen) -> Any:
    output: Path = args.output
    newfile.require_new(output)
    query = [("machine", name) for name in args.machines]
    data = Operator.of(args).fetch("logs", query=query, limit=MOST_BYTES)
    newfile.write(output, data)
    screen.say(f"{output}: {human(len(data))}")
    return {"output": str(output), "bytes": len(data)}


def _show(operator: Operator, machine: str, number: int | None, screen: Screen) -> Any:
    if number is None:
        log = operator.get("clients", machine, "log")
    else:
        log = operator.get("logs", "machines", machine, str(number))
    if log["when"] is None:
        screen.say(f"machine {machine} has handed in no log yet")
        return log
    screen.say(f"machine {machine}, {utc(log['when'])} UTC: {printable(log['reason'])}")
    for title in ("about", "kernel", "journal"):
        lines = [printable(line) for line in log[title].splitlines()]
        screen.say("\n".join([f"--- {title}", *lines]))
    return log
