"""``fleetcast captures``: have a running server's machines captured to its library, over the network."""

from __future__ import annotations

import argparse
import time
from typing import Any

from castcore.edge.commandline import Screen
from castcore.errors import FleetcastError
from castcore.progress import Progress
from castcore.units import human

from castserver.cli import arguments, operatorclient
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table
from castserver.wording import printable

NAME = "captures"
HELP = "capture a machine's disks to a running server's library; list, show or cancel captures"
EXAMPLE = (
    "fleetcast captures start m4716fe48 office --wait\n"
    "  fleetcast captures start m4716fe48 data --disk /dev/sdb --full-sectors"
)
ACTIONS = {
    "show": "one capture, and how far it is",
    "wait": "one capture until it has ended; fails when it does",
    "cancel": "end it; what was sent of it is removed, the machine's disks are as they were",
}
ENDED = ("done", "failed", "cancelled")
LOOK_SECONDS = 1.0


class CaptureFailed(FleetcastError):
    """The capture that was waited for came to nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    start = actions.add_parser("start", help="order a connected machine to capture its disks")
    start.add_argument("machine", help="the machine's id, name or MAC")
    start.add_argument(
        "image",
        nargs="?",
        default="",
        help="the image's name; the server adds the machine's MAC and UUID (default: its model)",
    )
    which = start.add_mutually_exclusive_group()
    which.add_argument(
        "--disk",
        action="append",
        default=[],
        metavar="DISK",
        help="its path or id on the machine; repeated: all go into one image (default: the only one)",
    )
    which.add_argument("--all-disks", action="store_true", help="all built-in disks, as one image")
    start.add_argument(
        "--partition",
        type=arguments.count,
        action="append",
        default=[],
        metavar="N",
        help="take only partition N of the disk (repeated: these)",
    )
    start.add_argument(
        "--full-sectors", action="store_true", help="take every byte, also what no file system uses"
    )
    start.add_argument(
        "--rescue", action="store_true", help="take zeros for what a failing disk cannot read any more"
    )
    start.add_argument(
        "--replace", action="store_true", help="replace the same machine's older image of that name"
    )
    start.add_argument("--wait", action="store_true", help="show how far it is until it has ended")
    operatorclient.add_arguments(start)
    operatorclient.add_actions(actions, {"list": "every capture, the newest first"})
    operatorclient.add_actions(actions, ACTIONS, ("capture", "the capture's id"))


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer."""
    operator = Operator.of(args)
    match args.action:
        case "list":
            captures = operator.get("captures")
            screen.say(_listing(captures))
            return {"captures": captures}
        case "show":
            capture = operator.get("captures", args.capture)
        case "wait":
            capture = _waited(operator, args.capture, screen)
        case "cancel":
            capture = operator.post("captures", args.capture, "cancel")
        case _:
            capture = operator.post("captures", body=_wish(args))
            if args.wait:
                capture = _waited(operator, capture["capture"], screen)
    screen.say(_details(capture))
    return capture


def _wish(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "client": args.machine,
        "image": args.image,
        "disks": None if args.all_disks else args.disk,
        "partitions": args.partition,
        "full_sectors": args.full_sectors,
        "rescue": args.rescue,
        "replace": args.replace,
    }


def _waited(operator: Operator, name: str, screen: Screen) -> Any:
    """The capture once it is done. Raises CaptureFailed when it failed or was cancelled."""
    while (capture := operator.get("captures", name))["state"] not in ENDED:
        report = capture["report"] or {"done": 0, "total": 0, "message": capture["state"]}
        said = capture["message"] or report["message"]
        screen.progress(Progress("capture", report["done"], report["total"], said))
        time.sleep(LOOK_SECONDS)
    if capture["state"] != "done":
        raise CaptureFailed(
            f"capture {name} has {capture['state']}: {capture['message']}",
            hint=f"`fleetcast machines logs {capture['client']}` shows what its client said",
        )
    return capture


def _listing(captures: list[dict[str, Any]]) -> str:
    rows = [("CAPTURE", "STATE", "MACHINE", "IMAGE")]
    rows += [(c["capture"], c["state"], c["client"], c["image"]) for c in captures]
    return "\n".join(table(rows, indent=""))


def _details(capture: dict[str, Any]) -> str:
    report = capture["report"] or {"done": 0, "total": 0}
    lines = [
        f"capture {capture['capture']} of {capture['label']}: {capture['state']}",
        f"  image      {capture['image']}",
        f"  disks      {', '.join(map(printable, capture['disks'])) or 'chosen at the machine'}",
    ]
    if capture["message"]:
        lines.append(f"  note       {printable(capture['message'])}")
    if capture["state"] == "done":
        lines.append(f"  stored     {human(capture['stored'])}")
        lines.append(f"  root       {capture['root']}")
    elif report["total"]:
        lines.append(f"  read       {human(report['done'])} of {human(report['total'])}")
    return "\n".join(lines)
