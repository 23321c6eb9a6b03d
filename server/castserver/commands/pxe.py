"""``fleetcast pxe``: the network-boot services alone, without casts, to try machines with."""

from __future__ import annotations

import argparse
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from castcore.boot import BootDecision, Everyone, InterfaceMode, WantedMode
from castcore.edge.commandline import Screen
from castcore.edge.net import nics
from castcore.edge.net.interface import find_interface
from castcore.errors import NotFound

from castserver.cli import arguments
from castserver.cli.bootscreen import KeptScreen, show_boot
from castserver.netboot.bootkeeper import BootKeeper
from castserver.netboot.bootstate import Choice, Setting
from castserver.services.bootservices import BootServices, BootSettings

NAME = "pxe"
HELP = "boot machines from the network without a cast, showing what each of them does"
EXAMPLE = "fleetcast pxe --interface eth1 --boot-tree /srv/fleetcast/pxe --boot-mode proxy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--interface", required=True, help="the network interface to serve")
    parser.add_argument("--boot-tree", required=True, type=Path, help="what `media-builder pxe` made")
    modes = [mode for mode in WantedMode if mode is not WantedMode.OFF]
    parser.add_argument(
        "--boot-mode",
        choices=modes,
        type=WantedMode,
        default=WantedMode.PROXY,
        help="what suits the network (auto), beside the site's DHCP server (proxy, the default), or as"
        " the only one (dhcp), where no other answers",
    )
    parser.add_argument(
        "--own-dhcp", action="store_true", help="where no DHCP server answers, auto may be one"
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
    arguments.add_replacing(parser)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Serve until interrupted."""
    address = nics.ipv4_address(args.interface)
    if not address:
        raise NotFound(f"{args.interface} has no IPv4 address, or does not exist", hint="see `ip addr`")
    settings = BootSettings(
        interface=args.interface,
        address=address,
        mode=InterfaceMode.SILENT,
        tree=args.boot_tree,
        server_url=args.server_url or f"https://{address}:8443",
        server_key=_key(args.server_key),
        http_port=args.http_port,
        extra_cmdline=args.extra_cmdline,
        replace_ipxe=args.replace_ipxe,
    )

    def services(mode: InterfaceMode) -> BootServices:
        policy = Everyone(args.decision)
        return BootServices(replace(settings, mode=mode), policy, lambda e: show_boot(e, screen))

    keeper = BootKeeper(
        find_interface(args.interface, socket.AF_INET),
        Choice(args.boot_mode, args.own_dhcp),
        services,
        Setting,
        KeptScreen(screen).show,
    )
    keeper.start()
    try:
        keeper.settled.wait()
        if keeper.failure is not None:
            raise keeper.failure
        serving = keeper.kept.mode is not InterfaceMode.SILENT
        doing = "Serving network boots" if serving else "Waiting to serve network boots"
        screen.say(f"{doing} on {args.interface} ({address}); Ctrl-C ends it.")
        threading.Event().wait()
    finally:
        keeper.stop()


def _key(text: str) -> bytes:
    return arguments.public_key(text, "--server-key", "`fleetcast serve --json`") if text else b""
