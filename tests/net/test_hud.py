"""The head-up display beside a real server: its word as a medium, a machine and a cast come."""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from castserver.cli.operatorclient import Operator
from castserver.commands import hud as command
from castserver.hud.app import Hud
from castserver.hud.server import ApiServer
from textual.pilot import Pilot
from textual.widgets import Static

from tests.net.namespaces import Cable, inside
from tests.net.test_server_serve import Client, Served, blank, serving, store, wire
from tests.support.boottrees import tree
from tests.support.deploymedia import bare_medium

__all__ = ["store", "wire"]  # fixtures

pytestmark = pytest.mark.root

SECONDS = 60.0


def operator(served: Served) -> Operator:
    """As the command makes it."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = ["--server", served.said["url"], "--state", str(served.state)]
    return Operator.of(parser.parse_args(words))


async def until(app: Hud, pilot: Pilot[None], word: str) -> None:
    """Look at the display until its first line says ``word``."""
    end = time.monotonic() + SECONDS
    while True:
        said = str(app.query_one("#head", Static).render()).splitlines()
        if said and said[0] == f"state     {word}":
            return
        assert time.monotonic() < end, said
        await pilot.pause(0.05)


class Room:
    """What hands do beside the display."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.folder = served, folder
        self.client = Client(served, blank(folder / "target.raw"))

    def take_part(self) -> None:
        """Be cast to, to the end."""
        self.client.take(self.client.order())

    def beside(self, work: Callable[[], object]) -> threading.Thread:
        """Have the client do ``work`` on its side of the wire."""
        done = threading.Thread(target=lambda: inside(self.served.wire.right, work, timeout=SECONDS))
        done.start()
        return done


async def story(app: Hud, pilot: Pilot[None], room: Room) -> None:
    await until(app, pilot, "no medium")
    (room.folder / "away.img").rename(room.folder / "medium.img")
    await until(app, pilot, "medium connected")
    await pilot.press("p")
    await pilot.press("y")
    await until(app, pilot, "PXE ready")
    room.beside(room.client.register).join(SECONDS)
    await until(app, pilot, "clients connected")
    await pilot.press("n")
    await pilot.pause()
    await pilot.press("enter")
    end = time.monotonic() + SECONDS
    while app._state is None or not app._state.casts:
        assert time.monotonic() < end, "no cast was made"
        await pilot.pause(0.05)
    cast = room.beside(room.take_part)
    while not any(part.state == "joined" for part in app._state.casts[0].parts):
        assert time.monotonic() < end, app._state.casts[0]
        await pilot.pause(0.05)
    await pilot.press("s")
    await pilot.press("y")
    await until(app, pilot, "casting")
    await until(app, pilot, "result")
    cast.join(SECONDS)


def test_its_word_follows_what_happens(wire: Cable, store: Path, tmp_path: Path) -> None:
    bare_medium(tmp_path / "away.img")
    (tmp_path / "tree").mkdir()
    medium, boots = (
        ("--media", str(tmp_path / "medium.img")),
        ("--boot-tree", str(tree(tmp_path / "tree"))),
    )
    with serving(wire, store, tmp_path / "state", *medium, *boots, "--rate", "8") as served:
        served.command("booting", "off")
        room = Room(served, tmp_path)

        async def shown() -> None:
            app = Hud(ApiServer(operator(served)))
            async with app.run_test(size=(100, 30)) as pilot:
                await story(app, pilot, room)

        inside(wire.left, lambda: asyncio.run(shown()), timeout=4 * SECONDS)
    assert room.client.target.read_bytes() == (tmp_path / "source.raw").read_bytes()
