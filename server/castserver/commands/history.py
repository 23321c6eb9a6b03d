"""``fleetcast history``: what was written when, on which machine, from which image, by whom."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castserver.cli import arguments, newfile, operatorclient
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table
from castserver.history.history import HistoryState, Kind
from castserver.history.historyviews import MOST_ENTRIES
from castserver.moments import utc
from castserver.wording import printable

NAME = "history"
HELP = "what was written when, on which machine, from which image, by whom started"
EXAMPLE = (
    "fleetcast history --image office --outcome done --since 2026-11-01\n"
    "  fleetcast history --machine 52:54:00:12:34:56\n"
    "  fleetcast history --since 2026-11-01 --until 2026-11-30 --csv november.csv"
)
MOST_BYTES = 1 << 30
# Options, and what the API calls what they say.
ASKED = {
    "image": "image",
    "machine": "machine",
    "outcome": "state",
    "kind": "kind",
    "since": "since",
    "until": "until",
    "text": "text",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("--image", metavar="NAME", help="of this image only")
    add("--machine", metavar="WHICH", help="an id, or a part of a name or MAC address")
    # --state is the server's directory.
    add("--outcome", choices=list(HistoryState), type=HistoryState, help="that ended, or stand, so")
    add("--kind", choices=list(Kind), type=Kind, help="casts or captures only")
    add("--since", type=arguments.day, metavar="DAY", help="from this day on (UTC), as 2026-11-27")
    add("--until", type=arguments.day, metavar="DAY", help="up to the end of this day (UTC)")
    add("--text", metavar="TEXT", help="with this somewhere: message, id, root, who started it, a name")
    add("--last", type=arguments.count, default=100, help="how many at most (%(default)s)")
    add(
        "--csv",
        type=Path,
        metavar="FILE",
        help="write all of them, not only the last, to a new CSV file",
    )
    operatorclient.add_server(parser)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Ask; the result is the API's own answer, or the file's path and size."""
    given = [(asked, getattr(args, option)) for option, asked in ASKED.items()]
    query = [(asked, str(value)) for asked, value in given if value is not None]
    operator = Operator.of(args)
    if args.csv is not None:
        return _export(operator, args.csv, query, screen)
    found = _newest(operator, query, args.last)
    rows: list[tuple[str, ...]] = [
        ("CHANGED (UTC)", "KIND", "IMAGE", "STATE", "MACHINE", "PROVEN", "BY", "")
    ]
    rows += [_row(entry) for entry in found["entries"]]
    screen.say("\n".join(table(rows, indent="")))
    if found["total"] > len(found["entries"]):
        screen.say(f"{found['total']} in all: --last N shows more, --csv FILE writes all of them")
    return found


def _export(operator: Operator, output: Path, query: list[tuple[str, str]], screen: Screen) -> Any:
    newfile.require_new(output, "--csv")
    data = operator.fetch("history.csv", query=query, limit=MOST_BYTES)
    newfile.write(output, data, "--csv")
    screen.say(f"{output}: {human(len(data))}")
    return {"output": str(output), "bytes": len(data)}


def _newest(operator: Operator, query: list[tuple[str, str]], wanted: int) -> dict[str, Any]:
    total, entries = 0, list[dict[str, Any]]()
    while len(entries) < wanted:
        limit = min(MOST_ENTRIES, wanted - len(entries))
        page = operator.get("history", query=dict(query, offset=len(entries), limit=limit))
        total = page["total"]
        entries += page["entries"]
        if not page["entries"]:
            break
    return {"total": total, "entries": entries}


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    shown = (entry["image"], entry["state"], entry["label"], entry["root"][:16], entry["by"])
    return utc(entry["changed"]), entry["kind"], *map(printable, shown), printable(entry["message"])
