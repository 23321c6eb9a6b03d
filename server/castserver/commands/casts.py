"""``fleetcast casts``: make, list, show, await and end casts of a server, and all else with them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.cast.states import Transport
from castcore.control import AfterCast
from castcore.edge.commandline import Screen
from castcore.edge.disk.named import read_rules
from castcore.units import human

from castserver.cli import arguments, operatorclient
from castserver.cli.castwaiting import newest, waited
from castserver.cli.operatorclient import Operator
from castserver.cli.ratescreen import rate_lines
from castserver.cli.texttable import table
from castserver.wording import clock, megabytes, percent

NAME = "casts"
HELP = "make, list, show, start, pause, resume, retry, await or cancel casts of a running server"
EXAMPLE = (
    "fleetcast casts create --image office --start-clients 12 --after reboot\n"
    "  fleetcast casts create --image office --group ROOM1 --tag ssd --most-at-once 20\n"
    "  fleetcast casts rates c4f81a2"
)
ACTIONS = {
    "show": "one cast and every machine's part in it",
    "rates": "how fast it went: image, repair and goodput of a machine in MB/s, over its time",
    "start": "start it now, erasing the disks of those who joined",
    "pause": "hold it: its machines wait, and nothing is lost",
    "resume": "let it go on where it was",
    "cancel": "end it, leaving machines in the middle of it incomplete",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a cast; machines that are ready join it")
    create.add_argument("--wait", action="store_true", help="show how far it is until it has ended")
    look = actions.add_parser("preview", help="what a cast so made would do: it is not made")
    for wish in (create, look):
        _add_wish(wish)
    wait = actions.add_parser("wait", help="show how far a cast is until it has ended")
    wait.add_argument("cast", nargs="?", help="the cast's id; left out: the newest")
    operatorclient.add_arguments(wait)
    operatorclient.add_actions(actions, {"list": "every cast, the newest first"})
    operatorclient.add_actions(actions, ACTIONS, ("cast", "the cast's id"))
    retry = actions.add_parser(
        "retry", help="order machines that failed, were refused or are gone again"
    )
    retry.add_argument("cast", metavar="CAST", help="the cast's id")
    retry.add_argument(
        "--client", action="append", metavar="MACHINE", help="only this: id, name or MAC (repeatable)"
    )
    operatorclient.add_arguments(retry)


def _add_wish(wish: argparse.ArgumentParser) -> None:
    """Declare what is asked of a cast."""
    wish.add_argument("--image", required=True, help="the image's name in the server's library")
    start = wish.add_mutually_exclusive_group()
    start.add_argument(
        "--start-clients", type=arguments.count, metavar="N", help="start when N machines have joined"
    )
    start.add_argument("--at-once", action="store_true", help="start as soon as a machine has joined")
    wish.add_argument(
        "--start-after",
        type=arguments.waiting,
        metavar="SECONDS",
        help="start so many seconds after the first machine joined, if not before",
    )
    wish.add_argument(
        "--most-at-once",
        type=arguments.count,
        metavar="N",
        help="N machines are under way at a time; the next is ordered as one has ended",
    )
    wish.add_argument(
        "--rate", type=arguments.rate, metavar="MB/s", help="cast no faster than this, on each interface"
    )
    wish.add_argument("--after", choices=list(AfterCast), type=AfterCast, default=AfterCast.REBOOT)
    wish.add_argument("--keep-open", action="store_true", help="late machines get it after its end too")
    wish.add_argument(
        "--no-peers",
        action="store_true",
        help="machines that have finished serve nothing to the others",
    )
    wish.add_argument(
        "--update", action="store_true", help="compare the disks first, send only what differs"
    )
    wish.add_argument(
        "--transport",
        choices=list(Transport),
        type=Transport,
        default=Transport.AUTO,
        help="how it travels",
    )
    wish.add_argument(
        "--rules", type=Path, metavar="FILE", help="TOML: which disk of a machine may be chosen"
    )
    arguments.add_protection(wish)
    wish.add_argument(
        "--client", action="append", metavar="MACHINE", help="only this: id, name or MAC (repeatable)"
    )
    wish.add_argument("--group", action="append", help="only the machines in it now (repeatable)")
    wish.add_argument(
        "--tag", action="append", help="of the groups, else of all, those who have it (repeatable: all)"
    )
    operatorclient.add_arguments(wish)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer."""
    operator = Operator.of(args)
    match args.action:
        case "list":
            casts = operator.get("casts")
            screen.say(_listing(casts))
            return {"casts": casts}
        case "preview":
            found = operator.post("casts", "preview", body=_wish(args))
            screen.say(_preview(found))
            return found
        case "rates":
            rates = operator.get("casts", args.cast, "rates")
            screen.say("\n".join(rate_lines(rates)))
            return {"rates": rates}
        case "show":
            cast = operator.get("casts", args.cast)
        case "create":
            cast = operator.post("casts", body=_wish(args))
            if args.wait:
                cast = waited(operator, cast["cast"], screen)
        case "wait":
            cast = waited(operator, args.cast or newest(operator), screen)
        case "retry":
            cast = operator.post("casts", args.cast, "retry", body={"clients": args.client})
        case action:
            cast = operator.post("casts", args.cast, action)
    screen.say(_details(cast))
    return cast


def _wish(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "image": args.image,
        "start_clients": 1 if args.at_once else args.start_clients,
        "start_after": args.start_after,
        "most_at_once": args.most_at_once,
        "rate_cap": args.rate or 0,
        "transport": args.transport.value,
        "rules": _rules(args.rules),
        "after": args.after.value,
        "keep_open": args.keep_open,
        "peers": not args.no_peers,
        "update": args.update,
        "mac": args.mac,
        "encrypt": args.encrypt,
        "clients": args.client,
        "groups": args.group,
        "tags": args.tag,
    }


def _rules(path: Path | None) -> str:
    """The text of the rule file ``path``. Raises Refused: it is none."""
    if path is None:
        return ""
    read_rules(path)
    return path.read_text()


def _preview(found: dict[str, Any]) -> str:
    """What a cast would do, for a person."""
    lines = [f"{found['image']}: {found['erased']} machines would be erased, {found['refused']} refused"]
    if found["most_at_once"]:
        lines.append(f"  turns      {found['most_at_once']} machines at a time")
    if found["licences_left"] is not None:
        lines.append(f"  licences   {found['licences_needed']} needed, {found['licences_left']} left")
    if found["warning"]:
        lines.append(f"  WARNING    {found['warning']}")
    rows = [("MACHINE", "WOULD BE", "DISKS", "NOTE")]
    for machine in found["machines"]:
        disks = ", ".join(f"{d['path']} {d['model']} {human(d['size'])}" for d in machine["disks"])
        note = machine["reason"] or machine["label"]
        rows.append((machine["client"], machine["verdict"], disks, note))
    return "\n".join([*lines, *table(rows)])


def _listing(casts: list[dict[str, Any]]) -> str:
    rows = [("CAST", "IMAGE", "STATE", "PROVEN", "MACHINES")]
    rows += [(c["cast"], c["image"], c["state"], str(_proven(c)), str(len(c["parts"]))) for c in casts]
    return "\n".join(table(rows, indent=""))


def _details(cast: dict[str, Any]) -> str:
    lines = [
        f"cast {cast['cast']} of {cast['image']}: {cast['state']}",
        f"  starts     {_starts(cast)}",
        f"  root       {cast['root']}",
    ]
    protection = [word for word in ("mac", "encrypt") if cast[word]]
    if protection:
        lines.append(f"  protected  {', '.join(protection)}")
    if cast["transport"] != Transport.AUTO:
        lines.append(f"  travels    by {cast['transport']}")
    if cast["rate_cap"]:
        lines.append(f"  at most    {megabytes(cast['rate_cap'])} MB/s on each interface")
    if cast["most_at_once"]:
        lines.append(f"  turns      {cast['most_at_once']} machines at a time")
    if cast["message"]:
        lines.append(f"  note       {cast['message']}")
    lines += [
        f"  {leg['interface']:<9}  {_leg(leg)}" for leg in (cast["sender"] or {"legs": []})["legs"]
    ]
    receptions = {c["client"]: c for c in (cast["sender"] or {"clients": []})["clients"]}
    ways = ("multicast", "unicast", "peers")
    how = ("VIA", "CLASS", "MB/S", "LOSS", "LEFT", "NOTE")
    rows = [("MACHINE", "STATE", *map(str.upper, ways), *how)]
    for part in cast["parts"]:
        report = part["report"] or {}
        came = [human(report.get(way, 0)) for way in ways]
        keeps_up = _reception(receptions.get(part["client"]))
        rows.append(
            (
                part["client"],
                part["state"],
                *came,
                *keeps_up,
                part["message"] or part["lag"] or part["label"],
            )
        )
    return "\n".join([*lines, *table(rows)])


def _starts(cast: dict[str, Any]) -> str:
    """When a cast starts, in words."""
    count, seconds, left = cast["start_clients"], cast["start_after"], cast["starts_in"]
    ways = [f"when {count} have joined"] if count else []
    if seconds is not None:
        rest = f" ({left} s left)" if left is not None else ""
        ways.append(f"{seconds} s after the first joined{rest}")
    return ", or ".join(ways) or "on command"


def _leg(leg: dict[str, Any]) -> str:
    """How a running cast stands on one of the server's interfaces."""
    if leg["lost"]:
        return f"lost: {leg['lost']}"
    return f"{leg['state']}, {megabytes(leg['rate'])} MB/s, {leg['clients']} machines"


def _reception(client: dict[str, Any] | None) -> tuple[str, ...]:
    """How a machine keeps up with a running cast: the server's interface, class, MB/s, loss in the
    network, time left.
    """
    if client is None:
        return ("",) * 5
    speed, left = megabytes(client["rate"]), clock(client["eta"])
    return client["interface"], client["class"], speed, percent(client["net_loss"]), left


def _proven(cast: dict[str, Any]) -> int:
    return sum(part["state"] == "done" for part in cast["parts"])
