"""``fleetcast leases``: the addresses a running server's own DHCP gives out, and to whom."""

from __future__ import annotations

import argparse
import time
from typing import Any

from castcore.edge.commandline import Screen

from castserver.cli import operatorclient
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table

NAME = "leases"
HELP = "list a running server's leases, reserve addresses, or say who gets any"
EXAMPLE = "fleetcast leases reserve 52:54:00:12:34:56 10.0.0.20"
ACTIONS = {
    "list": "every address given out, or put aside because somebody else uses it",
    "reservations": "the addresses kept for certain machines",
    "everyone": "lease to machines too that do not boot from the network",
    "booting": "lease only to machines that boot from the network, once did, or have a reservation",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    operatorclient.add_actions(actions, ACTIONS)
    reserve = actions.add_parser("reserve", help="keep an address for one machine")
    reserve.add_argument("mac", help="the machine's MAC address")
    reserve.add_argument("address", help="an IPv4 address on a network that the server serves")
    operatorclient.add_arguments(reserve)
    unreserve = {"unreserve": "keep no address for the machine any more"}
    operatorclient.add_actions(actions, unreserve, ("mac", "the machine's MAC address"))


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer."""
    operator = Operator.of(args)
    match args.action:
        case "list":
            leases, rule = operator.get("leases"), operator.get("lease-rule")
            screen.say(_leases(leases, time.time()))
            screen.say(_rule(rule))
            return {"leases": leases, **rule}
        case "everyone" | "booting":
            rule = operator.post("lease-rule", body={"everyone": args.action == "everyone"})
            screen.say(_rule(rule))
            return rule
        case "reserve":
            body = {"mac": args.mac, "address": args.address}
            reservations = [operator.post("reservations", body=body)]
        case "unreserve":
            reservations = operator.post("reservations", args.mac, "remove")
        case _:
            reservations = operator.get("reservations")
    screen.say(_reservations(reservations))
    return {"reservations": reservations}


def _leases(leases: list[dict[str, Any]], now: float) -> str:
    rows = [("ADDRESS", "MACHINE", "STATE", "LEFT", "INTERFACE")]
    for lease in leases:
        left = max(int(lease["expires"] - now), 0)
        minutes = f"{-(-left // 60)} min" if left else ""
        rows.append((lease["address"], lease["mac"] or "?", lease["state"], minutes, lease["interface"]))
    return "\n".join(table(rows, indent=""))


def _rule(rule: dict[str, Any]) -> str:
    if rule["everyone"]:
        return "Every machine gets a lease."
    return "Machines that boot from the network, once did, or have a reservation get a lease."


def _reservations(reservations: list[dict[str, Any]]) -> str:
    rows = [("ADDRESS", "MACHINE"), *((r["address"], r["mac"]) for r in reservations)]
    return "\n".join(table(rows, indent=""))
