"""``fleetcast machines``: what a running server knows of its machines, and what they boot next."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castserver import operatorclient
from castserver.imagescreen import printable, table
from castserver.operatorclient import Operator

NAME = "machines"
HELP = "list or show a running server's machines, or have one boot our client or its disk"
EXAMPLE = "fleetcast machines boot-client m4716fe48"
ACTIONS = {
    "show": "one machine, its disks and its last report",
    "logs": "the last lines of its client's log",
    "boot-client": "its next network boot is our client again",
    "boot-disk": "its network boots end at once, so that it boots its disk",
    "reboot": "reboot it, while our client runs on it",
    "power-off": "power it off, while our client runs on it",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    operatorclient.add_actions(actions, {"list": "every machine the server ever met"})
    operatorclient.add_actions(actions, ACTIONS, ("machine", "the machine's id"))


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer."""
    operator = Operator.of(args)
    match args.action:
        case "list":
            machines = operator.get("clients")
            screen.say(_listing(machines))
            return {"machines": machines}
        case "logs":
            lines = operator.get("clients", args.machine, "logs")
            screen.say("\n".join(map(printable, lines)))
            return {"logs": lines}
        case "show":
            machine = operator.get("clients", args.machine)
        case "reboot" | "power-off":
            machine = operator.post("clients", args.machine, "order", body={"kind": args.action})
        case action:
            machine = operator.post("clients", args.machine, action)
    screen.say(_details(machine))
    return machine


def _listing(machines: list[dict[str, Any]]) -> str:
    rows = [("MACHINE", "STATE", "BOOTS", "NAME")]
    rows += [(m["client"], m["state"], m["boots"], m["label"]) for m in machines]
    return "\n".join(table(rows, indent=""))


def _details(machine: dict[str, Any]) -> str:
    facts = machine["machine"]
    said = (machine["report"] or {}).get("message")
    once = f"{machine['boot_image']}, this once; then " if machine["boot_image"] else ""
    lines = [
        f"machine {machine['client']}: {machine['label']}",
        f"  state      {', '.join(filter(None, (machine['state'], said)))}",
        f"  boots      {once}{'our client' if machine['boots'] == 'client' else 'its own disk'}",
        f"  firmware   {facts['firmware']}{', Secure Boot' if facts['secure_boot'] else ''}",
        f"  uuid       {facts['uuid'] or 'none'}",
    ]
    rows = [("DISK", "SIZE", "MODEL", "")]
    rows += [(d["path"], human(d["size"]), d["model"], d["held_by"]) for d in machine["disks"]]
    return "\n".join([*lines, *table(rows)])
