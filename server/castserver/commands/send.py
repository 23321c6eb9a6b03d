"""``fleetcast send``: one image is cast at once, without a server, to whoever runs ``receive``."""

from __future__ import annotations

import argparse
import select
import sys
import time
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any

from castcore.cast.status import CastStatus
from castcore.edge.commandline import Screen
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import image_path
from castcore.edge.net.identity import ServerIdentity
from castcore.edge.net.interface import named_interfaces
from castcore.errors import FleetcastError, NetworkFailed, Refused
from castcore.units import human
from castcore.words import code_words

from castserver.casts.advice import advise
from castserver.casts.castrun import FIRST_PORT
from castserver.casts.legs import Legs, LegSettings, open_legs
from castserver.cli import arguments
from castserver.cli.casttable import listing
from castserver.cli.castwatch import CastWatch
from castserver.cli.imagescreen import add_store_argument
from castserver.images.library import LibraryImage

NAME = "send"
HELP = "cast an image once, without a server, to machines that run `fleetcast receive`"
EXAMPLE = "fleetcast send win11 --interface eth1 --min-clients 12 --max-wait 60"
POLL_SECONDS = 0.25
# Who does not hear multicast asks for its next chunk, or to join, within this.
FAREWELL_SECONDS = 2.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("image", metavar="IMAGE", help="a name in the store, or a path")
    add_store_argument(parser)
    add(
        "--interface",
        required=True,
        action="append",
        metavar="IF",
        help="name or address of the network interface; again for each more to cast through",
    )
    add(
        *("--clients", "--min-clients"),
        dest="clients",
        type=arguments.count,
        metavar="N",
        help="begin when N machines have joined (on a terminal, Enter begins at any time)",
    )
    add("--max-wait", type=float, metavar="S", help="begin S seconds after the first has joined")
    add("--rate", type=arguments.rate, default=0, metavar="MB/s", help="send no faster than this")
    arguments.add_network(parser)
    add("--no-peers", action="store_true", help="who has finished serves nothing to the others")
    add(
        "--port",
        type=arguments.data_port,
        default=0,
        help=f"UDP port of the data; the next one hears clients (default: free ones from {FIRST_PORT})",
    )
    add("--https-port", type=arguments.any_port, default=0, help="TCP port for joining (default: any)")
    arguments.add_protection(parser)


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Send; return how it went as JSON values."""
    interfaces = named_interfaces(args.interface)
    by_hand = sys.stdin.isatty() and not screen.as_json
    if args.clients is None and args.max_wait is None and not by_hand:
        raise Refused("nobody is here to press Enter", hint="say when to begin: --clients or --max-wait")
    with ExitStack() as stack:
        image = LibraryImage(Image.open(image_path(args.image, args.store)))
        stack.callback(image.close)
        identity = ServerIdentity.ephemeral()
        stack.callback(identity.close)
        legs = open_legs(image, identity, interfaces, _settings(args), stack)
        show = _Show(screen)
        advise(interfaces, show.warnings.put, querier=args.querier, stack=stack)
        _introduce(image, legs, identity, screen)
        try:
            _gather(args, legs, show, by_hand=by_hand)
            started = time.monotonic()
            legs.start()
            status = _follow(legs, image, show)
        except (FleetcastError, KeyboardInterrupt) as error:
            _end_early(legs, str(error) or "the sender was stopped")
            raise
        return _report(image, status, time.monotonic() - started, screen)


class _Show:
    """Shows a cast, and the ``warnings`` that any thread may put."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.warnings: SimpleQueue[str] = SimpleQueue()
        self._watch = CastWatch(screen)

    def __call__(self, status: CastStatus, *footer: str, last: bool = False) -> None:
        while not self.warnings.empty():
            self.screen.warn(self.warnings.get())
        self._watch.show(status, *footer, last=last)


def _settings(args: argparse.Namespace) -> LegSettings:
    return LegSettings(
        rate_cap=args.rate,
        ttl=args.ttl,
        port=args.port,
        https_port=args.https_port,
        mac=args.mac,
        encrypt=args.encrypt,
        jumbo=args.jumbo,
        polite=args.polite,
        peers=not args.no_peers,
    )


def _end_early(legs: Legs, why: str) -> None:
    """Tell everybody who has joined: by multicast, and to those it does not reach when they ask."""
    legs.end(why)
    if legs.joined:
        time.sleep(FAREWELL_SECONDS)


def _introduce(image: LibraryImage, legs: Legs, identity: ServerIdentity, screen: Screen) -> None:
    key = identity.key.public
    screen.say(f"Casting {image.name} from {', '.join(legs.urls)}")
    screen.say(f"  code  {code_words(key)}   (receivers show the same)")
    screen.say(f"  key   {key.hex()}")
    screen.emit(
        {
            "event": "casting",
            "url": legs.urls[0],
            "urls": legs.urls,
            "key": key.hex(),
            "code": code_words(key),
            "root": image.root,
        }
    )


def _gather(args: argparse.Namespace, legs: Legs, show: _Show, *, by_hand: bool) -> None:
    """Return when it is time to begin."""
    prompt = ["Press Enter to begin."] if by_hand else []
    shown, first = -1, 0.0
    while True:
        if legs.joined != shown:
            shown = legs.joined
            first = first or (time.monotonic() if shown else 0.0)
            show.screen.say(f"  {shown} joined")
            show.screen.emit({"event": "joined", "clients": shown})
        legs.look()
        if legs.failure is not None:
            raise legs.failure
        show(legs.status(), *prompt)
        if args.clients is not None and shown >= args.clients:
            return
        if args.max_wait is not None and first and time.monotonic() - first >= args.max_wait:
            return
        if _entered(by_hand=by_hand):
            return


def _entered(*, by_hand: bool) -> bool:
    """Wait a moment; whether the operator pressed Enter in it."""
    if not by_hand:
        time.sleep(POLL_SECONDS)
        return False
    if not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
        return False
    sys.stdin.readline()
    return True


def _follow(legs: Legs, image: LibraryImage, show: _Show) -> CastStatus:
    """Show the cast to its end. Raises what ended it, if it ended badly."""
    while not legs.wait(POLL_SECONDS):
        if image.failure is not None:
            raise image.failure
        if legs.failure is not None:
            break
        show(legs.status())
    if legs.failure is not None:
        raise legs.failure
    status = legs.status()
    show(status, last=True)
    return status


def _report(image: LibraryImage, status: CastStatus, seconds: float, screen: Screen) -> dict[str, Any]:
    sent = f"{human(status.sent)} sent, {human(status.repair)} of it repair"
    total = len(status.clients)
    screen.say(f"{image.name}: {status.done} of {total} complete, {sent}, in {seconds:.1f} s")
    lacking = [c for c in status.clients if not c.done]
    if lacking:
        raise NetworkFailed(
            f"{len(lacking)} of {total} machines did not finish: {listing(lacking)}",
            hint="their disks are not usable: see what they say, then cast to them again",
        )
    result = {"image": image.name, "root": image.root, "milliseconds": int(seconds * 1000)}
    return result | status.to_json()
