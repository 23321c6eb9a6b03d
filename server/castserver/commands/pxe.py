"""``fleetcast pxe``: the network-boot services alone, without casts, to try machines with."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from castcore.boot import BootDecision, BootEvent, BootMode
from castcore.edge.commandline import Screen
from castcore.edge.net import nics
from castcore.errors import NotFound

from castserver import arguments
from castserver.services.bootservices import BootServices, BootSettings

NAME = "pxe"
HELP = "boot machines from the network without a cast, showing what each of them does"
EXAMPLE = "fleetcast pxe --interface eth1 --boot-tree /srv/fleetcast/pxe --boot-mode proxy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--interface", required=True, help="the network interface to serve")
    parser.add_argument("--boot-tree", required=True, type=Path, help="what `media-builder pxe` made")
    parser.add_argument(
        "--boot-mode",
        choices=[BootMode.PROXY, BootMode.DHCP],
        type=BootMode,
        default=BootMode.PROXY,
        help="beside the site's DHCP server (proxy), or as the only one (dhcp)",
    )
    parser.add_argument(
        "--decision",
        choices=[BootDecision.CLIENT, BootDecision.LOCAL],
        type=BootDecision,
        default=BootDecision.CLIENT,
        help="boot our client, or send every machine to its own disk",
    )
    parser.add_argument(
        "--http-port", type=arguments.port, default=8080, help="TCP port of the boot files"
    )
    parser.add_argument("--server-url", default="", help="the server the client shall find")
    parser.add_argument("--server-key", default="", help="that server's public key, in hex")
    parser.add_argument("--extra-cmdline", default="", help="more kernel arguments")
    parser.add_argument(
        "--replace-ipxe",
        action="store_true",
        help="BIOS machines whose network card has an iPXE without HTTPS load the boot tree's instead",
    )


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Serve until interrupted."""
    address = nics.ipv4_address(args.interface)
    if not address:
        raise NotFound(f"{args.interface} has no IPv4 address, or does not exist", hint="see `ip addr`")
    settings = BootSettings(
        interface=args.interface,
        address=address,
        mode=args.boot_mode,
        tree=args.boot_tree,
        server_url=args.server_url or f"https://{address}:8443",
        server_key=_key(args.server_key),
        http_port=args.http_port,
        extra_cmdline=args.extra_cmdline,
        replace_ipxe=args.replace_ipxe,
    )

    def show(event: BootEvent) -> None:
        screen.say(f"{event.mac or '?':17}  {event.stage:9}  {event.detail}")
        screen.emit({"event": "boot", "mac": event.mac, "stage": event.stage, "detail": event.detail})

    services = BootServices(settings, _Everyone(args.decision), show)
    services.start()
    try:
        screen.say(f"Serving network boots on {args.interface} ({address}); Ctrl-C ends it.")
        threading.Event().wait()
    finally:
        services.stop()


def _key(text: str) -> bytes:
    return arguments.public_key(text, "--server-key", "`fleetcast serve --json`") if text else b""


class _Everyone:
    """The policy that treats all machines alike."""

    def __init__(self, decision: BootDecision) -> None:
        self._decision = decision

    def decide(self, mac: str, uuid: str) -> BootDecision:
        """The same for each."""
        del mac, uuid
        return self._decision
