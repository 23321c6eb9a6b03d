"""``fleetcast send``: one image is cast at once, without a server, to whoever runs ``receive``."""

from __future__ import annotations

import argparse
import select
import sys
import time
from contextlib import ExitStack
from typing import Any

from castcore.cast.status import CastStatus
from castcore.edge.castsender import CastSender, SenderSettings
from castcore.edge.commandline import Screen
from castcore.edge.identity import ServerIdentity
from castcore.edge.imagefile import Image
from castcore.edge.interface import find_interface
from castcore.edge.store import image_path
from castcore.errors import FleetcastError, NetworkFailed, Refused
from castcore.units import human
from castcore.words import code_words

from castserver import arguments
from castserver.castrun import FIRST_PORT, GROUP
from castserver.casttable import listing
from castserver.castwatch import CastWatch
from castserver.imagescreen import add_store_argument
from castserver.library import LibraryImage
from castserver.oneshot import OneShot

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
    add("--interface", required=True, metavar="IF", help="name or IPv4 address of the network interface")
    add(
        *("--clients", "--min-clients"),
        dest="clients",
        type=arguments.count,
        metavar="N",
        help="begin when N machines have joined (on a terminal, Enter begins at any time)",
    )
    add("--max-wait", type=float, metavar="S", help="begin S seconds after the first has joined")
    add("--rate", type=arguments.rate, default=0, metavar="MB/s", help="send no faster than this")
    add("--ttl", type=arguments.hops, default=1, help="routers that the multicast may cross, plus 1")
    add(
        "--port",
        type=arguments.data_port,
        default=FIRST_PORT,
        help="UDP port of the data; the next one hears clients",
    )
    add("--https-port", type=arguments.any_port, default=0, help="TCP port for joining (default: any)")


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Send; return how it went as JSON values."""
    interface = find_interface(args.interface)
    by_hand = sys.stdin.isatty() and not screen.as_json
    if args.clients is None and args.max_wait is None and not by_hand:
        raise Refused("nobody is here to press Enter", hint="say when to begin: --clients or --max-wait")
    with ExitStack() as stack:
        image = LibraryImage(Image.open(image_path(args.image, args.store)))
        stack.callback(image.close)
        identity = ServerIdentity.ephemeral()
        stack.callback(identity.close)
        sender = _sender(args, interface.address, image, identity)
        # This sender never comes back: whoever lacks something then must not wait for it.
        stack.callback(sender.stop, abort=True)
        shot = OneShot(image, sender, identity, interface, args.https_port)
        shot.start()
        stack.callback(shot.stop)
        _introduce(image, shot, identity, screen)
        try:
            watch = CastWatch(screen)
            _gather(args, shot, sender, screen, watch, by_hand=by_hand)
            started = time.monotonic()
            sender.start()
            status = _follow(sender, image, watch)
        except (FleetcastError, KeyboardInterrupt) as error:
            _end_early(shot, sender, str(error) or "the sender was stopped")
            raise
        return _report(image, status, time.monotonic() - started, screen)


def _end_early(shot: OneShot, sender: CastSender, why: str) -> None:
    """Tell everybody who has joined: by multicast, and to those it does not reach when they ask."""
    shot.end(why)
    sender.stop(abort=True)
    if shot.joined:
        time.sleep(FAREWELL_SECONDS)


def _sender(
    args: argparse.Namespace, address: str, image: LibraryImage, identity: ServerIdentity
) -> CastSender:
    public = identity.key.public
    settings = SenderSettings(
        interface_address=address,
        # From the key, so that two casts on one network hardly ever share a group.
        group=GROUP.format(public[0], public[1]),
        port=args.port,
        feedback_port=args.port + 1,
        rate_cap=args.rate,
        ttl=args.ttl,
    )
    return CastSender(
        image.source,
        name=image.name,
        root=bytes.fromhex(image.root),
        manifest=image.manifest_bytes,
        index=image.index_bytes,
        key=identity.key,
        settings=settings,
    )


def _introduce(image: LibraryImage, shot: OneShot, identity: ServerIdentity, screen: Screen) -> None:
    key = identity.key.public
    screen.say(f"Casting {image.name} from {shot.url}")
    screen.say(f"  code  {code_words(key)}   (receivers show the same)")
    screen.say(f"  key   {key.hex()}")
    screen.emit(
        {
            "event": "casting",
            "url": shot.url,
            "key": key.hex(),
            "code": code_words(key),
            "root": image.root,
        }
    )


def _gather(
    args: argparse.Namespace,
    shot: OneShot,
    sender: CastSender,
    screen: Screen,
    watch: CastWatch,
    *,
    by_hand: bool,
) -> None:
    """Return when it is time to begin."""
    prompt = ["Press Enter to begin."] if by_hand else []
    shown, first = -1, 0.0
    while True:
        if shot.joined != shown:
            shown = shot.joined
            first = first or (time.monotonic() if shown else 0.0)
            screen.say(f"  {shown} joined")
            screen.emit({"event": "joined", "clients": shown})
        watch.show(sender.status(), *prompt)
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


def _follow(sender: CastSender, image: LibraryImage, watch: CastWatch) -> CastStatus:
    """Show the cast to its end. Raises what ended it, if it ended badly."""
    while not sender.wait(POLL_SECONDS):
        if image.failure is not None:
            raise image.failure
        watch.show(sender.status())
    if sender.failure is not None:
        raise sender.failure
    status = sender.status()
    watch.show(status, last=True)
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
