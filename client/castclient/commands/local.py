"""``fleetcast-client local``: the dialogue of a deploy medium on this host, with named disks alone."""

from __future__ import annotations

import argparse
import os
from typing import Any

from castcore.edge import dmi
from castcore.edge.commandline import Screen
from castcore.edge.disk.named import named_disk
from castcore.edge.net.interface import find_interface

from castclient.journal import Journal
from castclient.local.consoles import Keys, Port
from castclient.local.desk import Desk
from castclient.local.facts import Here
from castclient.local.hands import Hands
from castclient.local.servers import SEARCH_SECONDS, Servers
from castclient.local.state import Where
from castclient.settings import Settings, server_key

NAME = "local"
HELP = "capture to, or restore from, a deploy medium on this host; never configures or restarts the host"
EXAMPLE = "fleetcast-client local --medium /tmp/medium.img --target /tmp/disk.raw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "--medium",
        required=True,
        metavar="MEDIUM",
        help="a deploy medium: its device, or the image file of one",
    )
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="DISK",
        help="raw file or disk that may be captured or overwritten; repeated: one more",
    )
    parser.add_argument(
        "--interface",
        action="append",
        default=[],
        metavar="IF",
        help="network interface that may lead to a server; again for each more",
    )
    parser.add_argument("--server", default="", metavar="URL", help="the server; default: look for it")
    parser.add_argument("--key", default="", metavar="HEX", help="the server's Ed25519 key")
    parser.add_argument(
        "--search-seconds",
        type=float,
        default=SEARCH_SECONDS,
        metavar="S",
        help="how long to look for a server (default: %(default)g)",
    )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Talk on standard input and output until somebody leaves; what the last work came to."""
    for name in args.interface:
        find_interface(name)
    for name in args.target:
        named_disk(name)
    settings = Settings(
        server_url=args.server,
        server_key=server_key(args.key),
        interfaces=tuple(args.interface),
        bring_up=False,
        may_leave=False,
    )
    journal = Journal()
    servers = Servers(settings, journal.add, args.search_seconds)
    hands = Hands(settings, servers, journal.add, medium=args.medium, disks=args.target)
    consoles = [] if screen.as_json else [Port(os.dup(1))]
    desk = Desk(Here(dmi.machine()), hands, consoles)
    keys = Keys(["/dev/stdin"], desk.typed, desk.gone)
    try:
        desk.run()
    finally:
        keys.close()
    state = desk.state
    return {"page": str(state.where), "done": state.where is Where.DONE, "result": list(state.result)}
