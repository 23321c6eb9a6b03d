"""``fleetcast bootimages``: ISO, disk and floppy images that machines of a running server boot once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.units import human

from castserver.cli import operatorclient
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table
from castserver.netboot.bootimages import FOLDER, BootImages
from castserver.wording import printable

NAME = "bootimages"
HELP = "ISO, disk and floppy images that chosen machines boot once, in place of our client"
EXAMPLE = "fleetcast bootimages boot bios-update.img m4716fe48 m22d0f1a7"
MACHINES = "a machine's id, name or MAC; the MAC of one never met will do"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    operatorclient.add_actions(actions, {"list": "every boot image, and who has still to boot it"})
    add = actions.add_parser("add", help="take a file in, on the server's own machine")
    add.add_argument("file", type=Path, help="an ISO, a disk image or a floppy image, not packed")
    add.add_argument("--name", default="", help="what it is called (default: the file's name)")
    operatorclient.add_arguments(add)
    operatorclient.add_actions(actions, {"delete": "remove an image"}, ("image", "the image's name"))
    boot = actions.add_parser(
        "boot", help="have machines boot an image once, at their next network boot"
    )
    boot.add_argument("image", help="the image's name")
    cancel = actions.add_parser(
        "cancel", help="have machines boot what they had, unless they came already"
    )
    for action in (boot, cancel):
        action.add_argument("machines", nargs="+", metavar="MACHINE", help=MACHINES)
        operatorclient.add_arguments(action)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer."""
    if args.action == "add":
        return _add(args, screen)
    operator = Operator.of(args)
    match args.action:
        case "boot":
            answer = operator.post("boot-images", args.image, "boot", body={"machines": args.machines})
            screen.say(f"{args.image} is what these boot next, once: {', '.join(answer['machines'])}")
            return answer
        case "cancel":
            images = operator.post("boot-images", "cancel", body={"machines": args.machines})
        case "delete":
            images = operator.post("boot-images", args.image, "delete")
        case _:
            images = operator.get("boot-images")
    screen.say(_listing(images))
    return {"boot_images": images}


def _add(args: argparse.Namespace, screen: Screen) -> Any:
    image = BootImages(args.state / FOLDER).add(args.file, args.name or args.file.name)
    screen.say(f"{image.name}: {image.form}, {human(image.size)}")
    return {"image": image.name, "size": image.size, "form": image.form.value}


def _listing(images: list[dict[str, Any]]) -> str:
    rows = [("IMAGE", "SIZE", "FORM", "MACHINES")]
    for image in images:
        state = printable(image["problem"]) or ", ".join(image["machines"])
        rows.append((image["image"], human(image["size"]), image["form"] or "none", state))
    return "\n".join(table(rows, indent=""))
