"""``fleetcast receive``: this machine takes part in a cast and writes it to a disk."""

from __future__ import annotations

import argparse
import secrets
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import Any

from castcore.cast.descriptor import CastDescriptor, open_descriptor
from castcore.cast.states import ReceiverState
from castcore.control import ONE_SHOT
from castcore.disk import DiskFacts, Wishes
from castcore.edge.cast import preflight
from castcore.edge.cast.control import HttpsCastControl
from castcore.edge.cast.discovery import FoundServer, find_servers
from castcore.edge.cast.peers import STAY_SECONDS, PeerClient
from castcore.edge.cast.receiver import ReceiveResult, receive
from castcore.edge.commandline import Screen
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.disk.heldchunks import held_chunks
from castcore.edge.disk.seedcontents import SeedContents, Sink
from castcore.edge.net.interface import Interface, find_interface
from castcore.edge.net.pinned import PinnedHttps, fetch_statement, zoned
from castcore.errors import NotFound, Refused, Untrusted
from castcore.image import Index, Manifest, parse_index, parse_manifest
from castcore.progress import Progress
from castcore.trust import digest
from castcore.units import human
from castcore.words import code_words

from castserver.cli import arguments
from castserver.cli.confirming import confirm_erase
from castserver.cli.targets import add_target_arguments, planned

NAME = "receive"
HELP = "take part in a `fleetcast send` and write what it casts to a disk, erasing what is on it"
EXAMPLE = "fleetcast receive /dev/sdb --interface eth0"
SEARCH_SECONDS = 2.0


@dataclass(frozen=True)
class _Cast:
    """A cast whose words are proven: all that is needed to plan, and then to join."""

    control: HttpsCastControl
    descriptor: CastDescriptor
    manifest: Manifest
    index: Index


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add_target_arguments(parser)
    add("--interface", required=True, metavar="IF", help="name or address of the network interface")
    add("--yes", action="store_true", help="do not ask before erasing")
    add(
        "--trust-first",
        action="store_true",
        help="trust the first sender found, without comparing codes",
    )
    add("--server", metavar="URL", help="the sender's address; needs --key")
    add("--key", metavar="HEX", help="the sender's public key; nobody else is trusted")
    add("--wait", type=float, default=60, metavar="S", help="look for a sender this long (60)")
    add(
        "--seed",
        type=float,
        default=STAY_SECONDS,
        metavar="S",
        help="when done, serve those who still lack chunks, S seconds at most (%(default)g; 0: never)",
    )
    add(
        "--resume",
        action="store_true",
        help="read the disk first, and receive only what it does not hold already",
    )
    add("--verify", action="store_true", help="read the disk back and prove every byte")


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Receive; return what was written as JSON values."""
    interface = find_interface(args.interface)
    for warning in preflight.receiver_warnings(interface):
        screen.warn(warning)
    key = arguments.public_key(args.key, "--key", "`fleetcast send`") if args.key is not None else None
    if args.server and key is None:
        raise Refused("--server needs --key", hint="`fleetcast send` shows both")
    server = _named(args.server, key, interface) if args.server and key else _found(args, key, interface)
    if key is None:
        _trust(args, server, screen)
    cast = _read_cast(server)
    facts = planned(cast.manifest, args, Wishes(check=False, verify=args.verify), screen).targets
    if not args.yes:
        confirm_erase([f.path for f in facts], screen)
    with ExitStack() as stack:
        disks = [
            stack.enter_context(BlockFile.open_target(f.path, sector_size=f.sector_size)) for f in facts
        ]
        sink = DiskSink(cast.manifest, cast.index, disks)
        held = None
        if args.resume:
            held = held_chunks(cast.manifest, cast.index, disks, progress=screen.progress)
            sink.adopt(held)
        contents, taking = _seeding(cast, sink, facts, args.seed)
        lengths = cast.index.stored_lengths()
        peers = stack.enter_context(closing(PeerClient(cast.control, taking, lengths, contents)))
        with sink.telling():
            result = receive(
                cast.control,
                cast.descriptor,
                lengths,
                taking,
                interface=interface.zoned,
                progress=_Watch(screen),
                peers=peers,
                held=held,
            )
        sink.write_zeros(screen.progress)
        sink.finish()
        if args.verify:
            sink.verify(screen.progress)
        report = _report(facts, cast, sink, result, screen, verified=args.verify)
        with suppress(KeyboardInterrupt):  # our own part is done
            peers.stay(args.seed, lambda: screen.say("  serving others (Ctrl-C ends it)"))
        return report | {"served": peers.served}


def _seeding(
    cast: _Cast, sink: DiskSink, facts: Sequence[DiskFacts], seconds: float
) -> tuple[SeedContents | None, Sink]:
    """What we serve to others from, and where chunks go for that; for 0 ``seconds`` we only take."""
    if seconds <= 0:
        return None, sink
    contents = SeedContents(cast.manifest, cast.index, [f.path for f in facts])
    return contents, contents.remembering(sink)


class _Watch:
    """Shows how the reception goes, and in a line of its own, for logs too, that the sender is gone."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._gone = False

    def __call__(self, now: Progress) -> None:
        gone = now.detail == ReceiverState.SILENT.value
        if gone and not self._gone:
            self._screen.warn("the sender is gone; waiting until it is back (Ctrl-C gives up)")
        self._gone = gone
        self._screen.progress(now)


def _named(given: str, key: bytes, interface: Interface) -> FoundServer:
    url = zoned(given, interface.name)
    proven = fetch_statement(url, key)
    return FoundServer(url, key, proven.certificate_digest, proven.name, interface.name, (ONE_SHOT,))


def _found(args: argparse.Namespace, key: bytes | None, interface: Interface) -> FoundServer:
    """The one sender that answers on the interface."""
    end = time.monotonic() + args.wait
    while True:
        seconds = min(SEARCH_SECONDS, max(end - time.monotonic(), 0.1))
        found = find_servers([interface.name], seconds=seconds, expected_key=key)
        senders = [server for server in found if ONE_SHOT in server.casts_open]
        if len(senders) > 1 and not args.trust_first:
            codes = ", ".join(f"{s.name} ({code_words(s.key)}) at {s.url}" for s in senders)
            raise Refused(f"{len(senders)} senders answer: {codes}", hint="choose by --server and --key")
        if senders:
            return senders[0]
        if time.monotonic() >= end:
            raise NotFound(
                f"no sender answers on {interface.name}",
                hint="start `fleetcast send` on a machine of this network",
            )


def _trust(args: argparse.Namespace, server: FoundServer, screen: Screen) -> None:
    code = code_words(server.key)
    screen.say(f"Found {server.name} at {server.url}, code  {code}")
    screen.emit({"event": "found", "url": server.url, "key": server.key.hex(), "code": code})
    if args.trust_first:
        return
    if screen.as_json or not sys.stdin.isatty():
        raise Refused(
            "nobody is here to compare the sender's code",
            hint="give --key, or --trust-first to trust it",
        )
    screen.say("Does the sender show the same code? Type yes to go on:")
    if sys.stdin.readline().strip() != "yes":
        raise Refused("not confirmed; nothing was written", hint="compare the codes, then answer yes")


def _read_cast(server: FoundServer) -> _Cast:
    """What the server casts, every word of it proven. Raises Untrusted, BadImage, NetworkFailed."""
    token = f"{_host_name()}-{secrets.token_hex(4)}"
    control = HttpsCastControl(PinnedHttps(server.url, server.certificate_digest, token), ONE_SHOT)
    descriptor = open_descriptor(control.descriptor(), server.key)
    data = control.manifest()
    if digest(data) != descriptor.manifest_digest:
        raise Untrusted("the manifest that was sent is not the one the cast's descriptor names")
    manifest = parse_manifest(data)
    if manifest.index_digest != descriptor.root:
        raise Untrusted(f"the cast's descriptor does not speak of the image {manifest.name}")
    return _Cast(control, descriptor, manifest, parse_index(control.index(), manifest))


def _host_name() -> str:
    name = "".join(c for c in socket.gethostname() if c.isascii() and (c.isalnum() or c in ".-"))
    return name[:64] or "client"


def _report(
    facts: Sequence[DiskFacts],
    cast: _Cast,
    sink: DiskSink,
    result: ReceiveResult,
    screen: Screen,
    *,
    verified: bool,
) -> dict[str, Any]:
    paths, root = [f.path for f in facts], cast.descriptor.root.hex()
    named = ", ".join(paths)
    ways = f"{human(result.multicast)} by multicast, {human(result.unicast)} by unicast"
    ways += f", {human(result.peers)} from peers" if result.peers else ""
    if result.kept:
        ways = f"{human(result.kept)} was there already, {ways}"
    screen.say(f"{cast.manifest.name} is on {named}: {human(sink.written)} written, {ways}")
    screen.say(f"  proven against {root}" + (", read back" if verified else ""))
    return {
        "image": cast.manifest.name,
        "targets": paths,
        "root": root,
        "written": sink.written,
        "multicast": result.multicast,
        "unicast": result.unicast,
        "peers": result.peers,
        "kept": result.kept,
        "repaired": result.repaired,
        "refused": result.refused,
        "milliseconds": int(result.seconds * 1000),
        "verified": verified,
    }
