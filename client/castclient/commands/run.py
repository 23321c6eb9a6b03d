"""``fleetcast-client run``: the same client on a host, writing to named files or disks, for one cast."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from castcore import __version__
from castcore.edge.commandline import Screen
from castcore.edge.disk.named import named_disk
from castcore.edge.net.interface import find_interface
from castcore.errors import FleetcastError

from castclient.console import PlainLines
from castclient.journal import Journal
from castclient.model import Model
from castclient.phases import Phase
from castclient.program import Client
from castclient.settings import Settings, server_key
from castclient.world import RealWorld

NAME = "run"
HELP = "follow a server's orders on this host for one cast; never configures or restarts the host"
EXAMPLE = "fleetcast-client run --target /tmp/disk.raw --interface eth1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "--target",
        required=True,
        action="append",
        metavar="DISK",
        help="raw file or disk to overwrite: a path, by-id:NAME, by-path:NAME, wwn:HEX or serial:TEXT;"
        " repeated: one for each disk of the image, in its order",
    )
    parser.add_argument(
        "--interface",
        required=True,
        action="append",
        metavar="IF",
        help="network interface to use; again for each more that may lead to the server",
    )
    parser.add_argument("--server", default="", metavar="URL", help="the server; default: look for it")
    parser.add_argument("--key", default="", metavar="HEX", help="the server's Ed25519 key")


class CastFailed(FleetcastError):
    """The cast this run took part in failed of something that is no error of ours."""

    advice = "please report it with the lines above"


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Take part in one cast; its figures as the result. Raises what the cast failed of.

    A target or an interface that is not there is refused at once: no server can mend that.
    """
    for name in args.interface:
        find_interface(name)
    for name in args.target:
        named_disk(name)
    settings = Settings(
        server_url=args.server,
        server_key=server_key(args.key),
        interfaces=tuple(args.interface),
        targets=tuple(args.target),
        bring_up=False,
        may_leave=False,
    )
    journal = Journal()
    world = RealWorld(settings, journal, ("/dev/stdin",))
    plain = PlainLines()

    def show(model: Model, up: float) -> None:
        for line in plain.lines(model, up):
            screen.say(line)
            screen.emit({"event": "state", "line": line})

    try:
        client = Client(__version__, world, journal, [], tells=[show])
        model = client.run(until=lambda model: model.told)
    finally:
        world.close()
    if model.phase is Phase.FAILED:
        raise model.failure or CastFailed(model.problem)
    assert model.cast is not None
    return dataclasses.asdict(model.cast)
