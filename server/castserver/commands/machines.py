"""``fleetcast machines``: what a running server knows of its machines, and what they boot next."""

from __future__ import annotations

import argparse
import time
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castserver import operatorclient, trustactions
from castserver.imagescreen import printable, table
from castserver.operatorclient import Operator

NAME = "machines"
HELP = "list, show or approve a running server's machines, or have one boot our client or its disk"
EXAMPLE = (
    "fleetcast machines boot-client m4716fe48\n"
    "  fleetcast machines show 52:54:00:12:34:56    (why does that PC not come?)\n"
    "  fleetcast machines approve m4716fe48 amber-kite-moon-fig    (its screen shows that)"
)
DAY = 86400
SHOW = "one machine, its disks, its last report, and its network boots; or the boots of a MAC address"
ACTIONS = {
    "logs": "the last lines of its client's log",
    "boot-client": "its next network boot is our client again",
    "boot-disk": "its network boots end at once, so that it boots its disk",
    "reboot": "reboot it, while our client runs on it",
    "power-off": "power it off, while our client runs on it",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = "every machine the server ever met, and those that try to boot now"
    operatorclient.add_actions(actions, {"list": listed})
    operatorclient.add_actions(
        actions, {"show": SHOW}, ("machine", "the machine's id, or a MAC address")
    )
    operatorclient.add_actions(actions, ACTIONS, ("machine", "the machine's id"))
    trustactions.add(actions)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer."""
    operator = Operator.of(args)
    match args.action:
        case "list":
            state = operator.get("state")
            screen.say(_listing(state["clients"], state["booting"]))
            trustactions.warn(state["clients"], screen)
            return {"machines": state["clients"], "booting": state["booting"]}
        case "logs":
            lines = operator.get("clients", args.machine, "logs")
            screen.say("\n".join(map(printable, lines)))
            return {"logs": lines}
        case "show" if _is_mac(args.machine):
            boot = operator.get("boots", args.machine)
            screen.say("\n".join(_boot_lines(boot, time.time())))
            return boot
        case "show":
            machine = operator.get("clients", args.machine)
            machine["devices"] = operator.get("clients", args.machine, "devices")
            machine["boots_heard"] = operator.get("clients", args.machine, "boots")
        case "approval":
            return trustactions.approval(operator, args, screen)
        case "approve" | "deny":
            body = {"code": args.code}
            machine = operator.post("clients", args.machine, args.action, body=body)
        case "reboot" | "power-off":
            machine = operator.post("clients", args.machine, "order", body={"kind": args.action})
        case action:
            machine = operator.post("clients", args.machine, action)
    screen.say(_details(machine))
    return machine


def _is_mac(text: str) -> bool:
    return len(text) == 17 and text.count(":") + text.count("-") == 5


def _listing(machines: list[dict[str, Any]], booting: list[dict[str, Any]]) -> str:
    rows = [("MACHINE", "STATE", "BOOTS", "NAME")]
    rows += [(m["client"], m["state"], m["boots"], m["label"]) for m in machines]
    heading, *shown = table(rows, indent="")
    lines = [heading]
    for line, machine in zip(shown, machines, strict=True):
        lines += [line, *([f"  {printable(machine['why'])}"] if machine["why"] else [])]
    if booting:
        boots = [("BOOTING", "CAME TO", "HOW IT STANDS")]
        boots += [(b["mac"], b["stage"], b["sentence"]) for b in booting]
        lines += ["", *table(boots, indent="")]
    return "\n".join(lines)


def _details(machine: dict[str, Any]) -> str:
    facts = machine["machine"]
    said = (machine["report"] or {}).get("message")
    once = f"{machine['boot_image']}, this once; then " if machine["boot_image"] else ""
    lines = [
        f"machine {machine['client']}: {machine['label']}",
        f"  state      {', '.join(filter(None, (machine['state'], said)))}",
        *([f"  why        {printable(machine['why'])}"] if machine["why"] else []),
        *([f"             {printable(machine['hint'])}"] if machine["hint"] else []),
        f"  boots      {once}{'our client' if machine['boots'] == 'client' else 'its own disk'}",
        f"  firmware   {facts['firmware']}{', Secure Boot' if facts['secure_boot'] else ''}",
        f"  uuid       {facts['uuid'] or 'none'}",
    ]
    rows = [("DISK", "SIZE", "MODEL", "")]
    rows += [(d["path"], human(d["size"]), d["model"], d["held_by"]) for d in machine["disks"]]
    idle = [d for d in machine.get("devices", ()) if not d["driver"]]
    if idle:
        lines.append(
            f"  devices    {len(idle)} of {len(machine['devices'])} without a driver"
            " (media-builder drivers check tells which matter)"
        )
    boots = [line for boot in machine.get("boots_heard", ()) for line in _boot_lines(boot, time.time())]
    return "\n".join([*lines, *table(rows), *boots])


def _boot_lines(boot: dict[str, Any], now: float) -> list[str]:
    """A network card's boots: how the latest stands, then the last events."""
    lines = [
        f"network boot of {boot['mac']}, attempt {boot['attempt']}: came to {boot['stage']}",
        f"  {printable(boot['sentence'])}",
        *([f"  next: {printable(boot['hint'])}"] if boot["hint"] else []),
    ]
    rows = [("WHEN", "ATTEMPT", "STAGE", "WHAT")]
    rows += [_event_row(event, now) for event in boot["events"]]
    return [*lines, *table(rows)]


def _event_row(event: dict[str, Any], now: float) -> tuple[str, str, str, str]:
    today = now - event["when"] < DAY
    when = time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", time.localtime(event["when"]))
    words = [event["detail"]]
    if event["total"] and event["done"] < event["total"]:
        words.append(f"({event['done'] * 100 // event['total']}% of {human(event['total'])})")
    if event["times"] > 1:
        words.append(f"({event['times']} times)")
    return when, str(event["attempt"]), event["stage"], " ".join(words)
