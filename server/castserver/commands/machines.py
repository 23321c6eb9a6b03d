"""``fleetcast machines``: a running server's machines: names, marks, history, what they boot next."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.errors import DiskFailed, Refused
from castcore.units import human

from castserver.cli import machinescreen, newfile, operatorclient, trustactions
from castserver.cli.operatorclient import Operator
from castserver.machines.machinecard import key
from castserver.machines.machinecsv import MOST_BYTES
from castserver.wording import printable

NAME = "machines"
HELP = (
    "list, add, name, mark, approve, import or export a running server's machines, or say what they boot"
)
EXAMPLE = (
    "fleetcast machines group PC01 PC02 --add ROOM1\n"
    "  fleetcast machines add PC07 --mac 52:54:00:12:34:56 --group ROOM1\n"
    "  fleetcast machines import room1.csv --dry-run\n"
    "  fleetcast machines boot-client m4716fe48\n"
    "  fleetcast machines show 52:54:00:12:34:56    (why does that PC not come?)\n"
    "  fleetcast machines approve m4716fe48 amber-kite-moon-fig    (its screen shows that)"
)
SHOW = "one machine, its disks, its last report, and its network boots; or the boots of a MAC address"
MACHINE = "the machine's id, name or MAC address"
ACTIONS = {
    "logs": "the last lines of its client's log",
    "history": "what it was given when, from which image, with which proof",
    "boot-client": "its next network boot is our client again",
    "boot-disk": "its network boots end at once, so that it boots its disk",
    "reboot": "reboot it, while our client runs on it",
    "power-off": "power it off, while our client runs on it",
    "remove": "forget it; casts and captures that name it stay as they were",
}
LISTS = {
    "groups": "every group and tag, and how many machines it has",
    "deployed": "what every machine was given last and proved, and what was tried since",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="every machine, and those that try to boot now")
    listed.add_argument("--group", action="append", default=[], help="in one of these (repeatable)")
    listed.add_argument("--tag", action="append", default=[], help="with all of these (repeatable)")
    listed.add_argument("--in-state", metavar="STATE", help="for example ready or offline")
    listed.add_argument("--search", default="", metavar="TEXT", help="with this in name, note or model")
    operatorclient.add_arguments(listed)
    operatorclient.add_actions(actions, {"show": SHOW}, ("machine", MACHINE))
    _add_naming(actions)
    operatorclient.add_actions(actions, ACTIONS, ("machine", MACHINE))
    operatorclient.add_actions(actions, LISTS)
    _add_files(actions)
    trustactions.add(actions)


def _add_naming(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add = actions.add_parser("add", help="add a machine that was never met, by its MAC or UUID")
    add.add_argument("name", nargs="?", default="", help="what it is called")
    add.add_argument(
        "--mac", action="append", default=[], help="of one of its network cards (repeatable)"
    )
    add.add_argument("--uuid", default="", help="its system UUID, as its firmware shows it")
    add.add_argument("--serial", default="", help="beside a UUID that several of your machines have")
    add.add_argument("--group", action="append", default=[], help="a group it is in (repeatable)")
    add.add_argument("--tag", action="append", default=[], help="a tag it has (repeatable)")
    add.add_argument("--note", default="", help="anything worth knowing")
    rename = actions.add_parser("rename", help='name it; "" takes the name away')
    rename.add_argument("machine", help=MACHINE)
    rename.add_argument("name", help="the new name")
    note = actions.add_parser("note", help='note something of it; "" takes the note away')
    note.add_argument("machine", help=MACHINE)
    note.add_argument("note", metavar="TEXT", help="the note")
    claim = actions.add_parser("claim", help="say that an entry added by hand stands for a machine")
    claim.add_argument("machine", help=MACHINE)
    claim.add_argument("entry", help="the entry's id, name or MAC")
    for action in (add, rename, note, claim):
        operatorclient.add_arguments(action)
    for name in ("tag", "group"):
        marks = actions.add_parser(name, help=f"give machines {name}s, or take some away")
        marks.add_argument("machines", nargs="+", metavar="MACHINE", help=MACHINE)
        marks.add_argument(
            "--add", action="append", default=[], metavar=name.upper(), help="(repeatable)"
        )
        marks.add_argument(
            "--remove", action="append", default=[], metavar=name.upper(), help="(repeatable)"
        )
        operatorclient.add_arguments(marks)


def _add_files(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    taken = actions.add_parser(
        "import", help="add and change machines by a CSV file, all of it or nothing"
    )
    taken.add_argument("file", type=Path, help="as `export` writes it; UTF-8 or Shift-JIS")
    taken.add_argument("--dry-run", action="store_true", help="only show what it would do")
    given = actions.add_parser("export", help="write all machines to a CSV file")
    given.add_argument("--output", type=Path, required=True, metavar="FILE", help="the new file")
    for action in (taken, given):
        operatorclient.add_arguments(action)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer."""
    operator = Operator.of(args)
    match args.action:
        case "list":
            return _list(operator, args, screen)
        case "show":
            return _show(operator, args.machine, screen)
        case "groups" | "deployed" | "history" | "logs":
            return _look(operator, args, screen)
        case "tag" | "group":
            return _mark(operator, args, screen)
        case "import":
            return _import(operator, args, screen)
        case "export":
            return _export(operator, args.output, screen)
        case "approval":
            return trustactions.approval(operator, args, screen)
        case "remove":
            marks = operator.post("machines", args.machine, "remove")
            screen.say(f"machine {args.machine} is removed")
            return marks
    machine = _change(operator, args)
    screen.say(machinescreen.details(machine))
    return machine


def _look(operator: Operator, args: argparse.Namespace, screen: Screen) -> Any:
    """What is only shown."""
    match args.action:
        case "groups":
            marks = operator.get("machines", "marks")
            screen.say(machinescreen.marks(marks))
            return marks
        case "deployed":
            deployed = operator.get("machines", "deployed")
            screen.say(machinescreen.deployed(deployed))
            return {"machines": deployed}
        case "history":
            writes = operator.get("machines", args.machine, "history")
            screen.say(machinescreen.history(writes))
            return {"history": writes}
        case _:
            lines = operator.get("clients", args.machine, "logs")
            screen.say("\n".join(map(printable, lines)))
            return {"logs": lines}


def _change(operator: Operator, args: argparse.Namespace) -> Any:
    """What the machine is after an action on one."""
    match args.action:
        case "add":
            body = {"name": args.name, "macs": args.mac, "uuid": args.uuid, "serial": args.serial}
            marks = {"tags": args.tag, "groups": args.group, "note": args.note}
            return operator.post("machines", body=body | marks)
        case "rename" | "note" as action:
            field = "name" if action == "rename" else "note"
            return operator.put("machines", args.machine, body={field: getattr(args, field)})
        case "claim":
            return operator.post("machines", args.machine, "claim", body={"entry": args.entry})
        case "approve" | "deny":
            return operator.post("clients", args.machine, args.action, body={"code": args.code})
        case "reboot" | "power-off":
            return operator.post("clients", args.machine, "order", body={"kind": args.action})
        case action:
            return operator.post("clients", args.machine, action)


def _list(operator: Operator, args: argparse.Namespace, screen: Screen) -> Any:
    state = operator.get("state")
    machines = [m for m in state["clients"] if _wanted(m, args)]
    filtered = args.group or args.tag or args.in_state or args.search
    booting = [] if filtered else state["booting"]
    screen.say(machinescreen.listing(machines, booting))
    return {"machines": machines, "booting": booting}


def _wanted(machine: dict[str, Any], args: argparse.Namespace) -> bool:
    groups, tags = ({key(word) for word in machine[words]} for words in ("groups", "tags"))
    facts = machine["machine"]
    told = (machine["name"], machine["client"], machine["label"], machine["note"])
    text = key(" ".join((*told, facts["vendor"], facts["product"], facts["serial"])))
    return (
        (not args.group or any(key(group) in groups for group in args.group))
        and all(key(tag) in tags for tag in args.tag)
        and args.in_state in (None, machine["state"])
        and key(args.search) in text
    )


def _show(operator: Operator, name: str, screen: Screen) -> Any:
    if _is_mac(name) and not _known(operator, name):
        boot = operator.get("boots", name)
        screen.say("\n".join(machinescreen.boot_lines(boot)))
        return boot
    machine = operator.get("clients", name)
    machine["devices"] = operator.get("clients", name, "devices")
    machine["boots_heard"] = operator.get("clients", name, "boots")
    screen.say(machinescreen.details(machine))
    return machine


def _mark(operator: Operator, args: argparse.Namespace, screen: Screen) -> Any:
    words = f"{args.action}s"
    body = {"machines": args.machines, f"add_{words}": args.add, f"remove_{words}": args.remove}
    if not (args.add or args.remove):
        raise Refused(f"no {args.action} is named", hint="give --add or --remove")
    machines = operator.post("machines", "marks", body=body)
    screen.say(machinescreen.listing(machines, []))
    return {"machines": machines}


def _import(operator: Operator, args: argparse.Namespace, screen: Screen) -> Any:
    try:
        with args.file.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DiskFailed(f"{args.file}: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise Refused(f"{args.file} is larger than {human(MOST_BYTES)}", hint="import it in parts")
    plan = operator.send("machines", "plan-import", data=data)
    screen.say(machinescreen.plan(plan))
    screen.emit({"event": "plan", **plan})
    if plan["problems"]:
        raise Refused(f"{args.file}: nothing is imported", hint="mend the lines that are named above")
    if args.dry_run:
        return plan
    done = operator.send("machines", "import", data=data)
    screen.say("done")
    return done


def _export(operator: Operator, output: Path, screen: Screen) -> Any:
    newfile.require_new(output)
    data = operator.fetch("machines", "export", limit=MOST_BYTES)
    newfile.write(output, data)
    screen.say(f"{output}: {human(len(data))}")
    return {"output": str(output), "bytes": len(data)}


def _known(operator: Operator, mac: str) -> bool:
    plain = mac.lower().replace("-", ":")
    return any(nic["mac"].lower() == plain for m in operator.get("clients") for nic in m["nics"])


def _is_mac(text: str) -> bool:
    return len(text) == 17 and text.count(":") + text.count("-") == 5
