"""``fleetcast image nbd``: serves an image read-only, so that files can be taken out of it."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.image.diskview import ChunkCache, DiskView, PartitionView
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import image_path
from castcore.edge.image.usedparts import held_partition, held_partitions, require_all_partitions
from castcore.edge.nbd.server import NbdServer, listening, listening_at
from castcore.errors import NotFound
from castcore.nbd.session import Served
from castcore.units import human

from castserver.cli import arguments

NAME = "nbd"
HELP = "serve the disks of an image read-only over NBD, until Ctrl-C"
EXAMPLE = "fleetcast image nbd win11 --unix /run/win11.sock"
PORT = 10809
ADDRESS = "127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name in the store, or a path")
    parser.add_argument(
        "--disk",
        type=int,
        default=0,
        metavar="N",
        help="the disk that clients get who name none (default 0); each is there under its number",
    )
    parser.add_argument(
        "--partition",
        type=arguments.partition,
        metavar="N",
        help="that partition instead of a whole disk (D:N: of disk D); each is there as DpN",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--port", type=int, default=PORT, metavar="PORT", help="TCP port, default %(default)s"
    )
    where.add_argument("--unix", type=Path, metavar="SOCKET", help="a Unix socket instead of TCP")
    parser.add_argument(
        "--address",
        default=ADDRESS,
        help="where to listen, default %(default)s: there is neither password nor encryption",
    )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Serve until Ctrl-C or TERM; return what was served as JSON values."""
    with Image.open(image_path(args.image, args.store)) as image:
        exports = _exports(image, args.disk, args.partition)
        with _listener(args) as listener:
            server = NbdServer(listener, exports, lambda error: screen.warn(error.what))
            uri = _uri(args, listener)
            screen.say(f"serving {image.manifest.name}, {human(exports[''].size)}, read-only at {uri}")
            screen.emit({"event": "listening", "uri": uri})
            try:
                server.run()
            except KeyboardInterrupt:
                screen.say("stopped")
            finally:
                server.stop()
        return {"image": image.manifest.name, "uri": uri, "connections": server.clients_served}


def _exports(image: Image, disk: int, partition: tuple[int, int] | None) -> dict[str, Served]:
    """What is served by which name; "" is what clients get who name none.

    Raises NotFound, Refused (neither a whole disk nor a partition to give those).
    """
    disks = image.manifest.disks
    if not 0 <= disk < len(disks):
        raise NotFound(
            f"{image.manifest.name} has no disk {disk}: it holds {len(disks)}",
            hint="`fleetcast image show` lists them",
        )
    if partition is None:
        require_all_partitions(image)
        default = str(disk)
    else:
        held_partition(image, *partition)
        default = f"{partition[0]}p{partition[1]}"
    cache, exports = ChunkCache(image), dict[str, Served]()
    for number, one in enumerate(disks):
        view = DiskView(image, number, cache)
        if not one.layout.left_out:
            exports[str(number)] = view
        for held in held_partitions(image, number):
            exports[f"{number}p{held.number}"] = PartitionView(view, held)
    return {"": exports[default]} | exports


@contextmanager
def _listener(args: argparse.Namespace) -> Iterator[socket.socket]:
    opened = listening_at(args.unix) if args.unix else listening(args.address, args.port)
    with opened as listener:
        yield listener


def _uri(args: argparse.Namespace, listener: socket.socket) -> str:
    """How libnbd and QEMU name the place (the NBD project's doc/uri.md)."""
    if args.unix:
        return f"nbd+unix:///?socket={args.unix}"
    host, port = listener.getsockname()[:2]
    return f"nbd://[{host}]:{port}" if ":" in host else f"nbd://{host}:{port}"
