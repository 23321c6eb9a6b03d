"""``fleetcast hud``: the head-up display of a running server, in a terminal."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from castcore.edge.commandline import Screen
from castcore.errors import Refused

from castserver.cli import operatorclient
from castserver.cli.operatorclient import Operator

NAME = "hud"
HELP = "show a running server live in this terminal, and start or cancel its casts there"
EXAMPLE = "fleetcast hud"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    operatorclient.add_server(parser)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Show it until q is pressed; with ``--json`` its head once. Raises Refused without a terminal."""
    # They take half a second to load, which no other command shall wait for.
    from castserver.hud import figures
    from castserver.hud.app import Hud
    from castserver.hud.server import ApiServer

    server = ApiServer(Operator.of(args))
    state = server.state()
    if screen.as_json:
        return {"head": figures.head(state, int(time.time())), "state": state.model_dump(mode="json")}
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("the head-up display needs a terminal", hint="`--json` shows the state once")
    Hud(server).run()
    return None
