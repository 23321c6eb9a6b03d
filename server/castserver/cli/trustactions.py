"""The actions of ``fleetcast machines`` about who is let in."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.edge.commandline import Screen

from castserver.cli import operatorclient
from castserver.cli.operatorclient import Operator

APPROVAL = "whether machines have to be approved by hand (an administrator turns it on or off)"
ACTIONS = {
    "approve": "let it in, now and whenever it starts again",
    "deny": "keep it out until it is approved",
}


def add(actions: Any) -> None:
    """Declare them."""
    for name, about in ACTIONS.items():
        parser: argparse.ArgumentParser = actions.add_parser(name, help=about)
        parser.add_argument("machine", help="the machine's id, name or MAC address")
        code = "the code on its screen: needed where several say that they are this machine"
        parser.add_argument("code", nargs="?", default="", help=code)
        operatorclient.add_arguments(parser)
    parser = actions.add_parser("approval", help=APPROVAL)
    parser.add_argument("wanted", nargs="?", choices=("on", "off"), help="left out: only show it")
    operatorclient.add_arguments(parser)


def approval(operator: Operator, args: argparse.Namespace, screen: Screen) -> Any:
    """Show or change whether machines have to be approved."""
    if args.wanted is None:
        now = operator.get("approval")
    else:
        now = operator.put("approval", body={"required": args.wanted == "on"})
    screen.say(f"approval by hand is {'on' if now['required'] else 'off'}, {now['waiting']} wait for it")
    return now
