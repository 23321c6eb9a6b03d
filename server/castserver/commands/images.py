"""``fleetcast images``: the images of a running server: list them, have one checked, delete one."""

from __future__ import annotations

import argparse
import time
from typing import Any

from castcore.edge.commandline import Screen
from castcore.errors import BadImage
from castcore.progress import Progress
from castcore.units import human

from castserver.cli import operatorclient
from castserver.cli.confirming import confirm
from castserver.cli.operatorclient import Operator
from castserver.cli.texttable import table
from castserver.moments import utc
from castserver.wording import printable

NAME = "images"
HELP = "list the images of a running server, have one of its library checked, or delete one"
EXAMPLE = "fleetcast images list\n  fleetcast images check office --wait"
LOOK_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    operatorclient.add_actions(
        actions, {"list": "those of library and medium, and when each was checked"}
    )
    check = actions.add_parser("check", help="read and prove every chunk, in the background")
    check.add_argument("image", help="its name in the library")
    check.add_argument("--wait", action="store_true", help="return when it is known what came of it")
    operatorclient.add_arguments(check)
    delete = actions.add_parser("delete", help="delete it for good")
    delete.add_argument("image", help="its name in the library")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    operatorclient.add_arguments(delete)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; the result is the API's own answer. Raises BadImage for one found damaged."""
    operator = Operator.of(args)
    match args.action:
        case "list":
            images, checks = operator.get("images"), operator.get("images", "checks")
            screen.say("\n".join(table([_HEADINGS, *_rows(images, checks)], indent="")))
            return {"images": images, "checks": checks}
        case "check":
            return _check(operator, args, screen)
        case _:
            image = args.image
            if not args.yes:
                what = f"image {image} of {args.server}"
                confirm(f"{what} is deleted", f"{what} will be deleted for good.", "deleted", screen)
            answer = operator.post("images", image, "delete")
            screen.say(f"deleted {image}: {human(answer['freed'])} free")
            return answer


_HEADINGS = ("IMAGE", "WHERE", "IN USE", "STORED", "CHECKED (UTC)", "PROBLEM")


def _rows(images: list[dict[str, Any]], checks: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    by_root = {check["root"]: check for check in checks}
    return [_row(image, by_root.get(image["root"])) for image in images]


def _row(image: dict[str, Any], check: dict[str, Any] | None) -> tuple[str, ...]:
    in_library = image["where"] == "library" and check is not None
    told = "" if check is None or not in_library else _told(check)
    problem = image["problem"] or (check["problem"] if check is not None and in_library else "")
    sizes = (human(image["used"]), human(image["stored"])) if image["root"] else ("", "")
    return image["image"], printable(image["where"]), *sizes, told, printable(problem)


def _told(check: dict[str, Any]) -> str:
    return f"{check['state']} {utc(check['when'])}" if check["when"] else str(check["state"])


def _check(operator: Operator, args: argparse.Namespace, screen: Screen) -> Any:
    check = operator.post("images", args.image, "check")
    root = check["root"]
    while args.wait and not check["when"]:
        time.sleep(LOOK_SECONDS)
        found = [c for c in operator.get("images", "checks") if c["root"] == root]
        if not found:
            raise BadImage(
                f"the check of {args.image} came to nothing", hint="the server's log says why"
            )
        check = found[0]
        screen.progress(Progress("check", check["done"], check["total"], args.image))
    if check["problem"]:
        raise BadImage(check["problem"], hint="capture it again, or copy it from elsewhere")
    screen.say(f"image {args.image}: {_told(check)}")
    return check
