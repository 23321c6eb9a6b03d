"""``fleetcast booting``: a running server's PXE deploy, and what it serves on each interface."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.boot import WantedMode
from castcore.edge.commandline import Screen

from castserver.cli import operatorclient
from castserver.cli.arguments import NEVER
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table
from castserver.netboot.bootstate import DeployEnd
from castserver.wording import printable

NAME = "booting"
HELP = "show or change what a running server answers to machines that boot from the network"
EXAMPLE = "fleetcast booting on --ends cast-end"
SWITCHES = {
    "on": "PXE deploy on: machines boot our client",
    "off": "PXE deploy off: machines are sent to their own disks",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    operatorclient.add_actions(actions, {"show": "what is served on each interface, and why"})
    for name, what in SWITCHES.items():
        switch = actions.add_parser(name, help=what)
        switch.add_argument(
            "--ends",
            action="append",
            choices=[*DeployEnd, NEVER],
            help="what turns PXE deploy off by itself (repeatable)",
        )
        operatorclient.add_arguments(switch)
    choose = actions.add_parser("choose", help="choose what is served on one interface")
    choose.add_argument("interface", help="the server's interface")
    choose.add_argument("mode", nargs="?", choices=list(WantedMode), type=WantedMode)
    choose.add_argument(
        "--own-dhcp",
        action=argparse.BooleanOptionalAction,
        help="our own DHCP server may run where no other was found",
    )
    operatorclient.add_arguments(choose)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer."""
    operator = Operator.of(args)
    match args.action:
        case "show":
            booting = operator.get("booting")
        case "choose":
            wanted = None if args.mode is None else args.mode.value
            body = {"wanted": wanted, "own_dhcp": args.own_dhcp}
            booting = operator.put("booting", args.interface, body=body)
        case action:
            ends = args.ends and [end for end in args.ends if end != NEVER]
            booting = operator.put("booting", body={"deploy": action == "on", "ends": ends})
    screen.say(_details(booting))
    return booting


def _details(booting: dict[str, Any]) -> str:
    state = "on" if booting["deploy"] else f"off: {booting['why']}"
    ends = ", ".join(booting["ends"]) or "nothing but you"
    lines = [f"PXE deploy {state}", f"  turned off by  {ends}"]
    rows = [("INTERFACE", "ADDRESS", "WANTED", "SERVES", "")]
    for own in booting["interfaces"]:
        wanted = own["wanted"] + (", own DHCP allowed" if own["own_dhcp"] else "")
        rows.append((own["interface"], own["address"], wanted, own["mode"], printable(own["reason"])))
    lines += table(rows)
    for own in booting["interfaces"]:
        told = (own["problem"], own["warning"], own["note"])
        lines += [f"  {own['interface']}: {printable(text)}" for text in told if text]
    lines += [
        f"  another Fleetcast server on {other['interface']}: {printable(other['name'])}, {other['url']}"
        for other in booting["neighbours"]
    ]
    return "\n".join(lines)
