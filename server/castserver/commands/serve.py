"""``fleetcast serve``: the cast server."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from castcore.boot import WantedMode
from castcore.edge.commandline import Screen
from castcore.edge.disk.named import read_rules
from castcore.edge.image.store import default_store
from castcore.edge.net import nics
from castcore.edge.net.identity import ServerIdentity
from castcore.edge.net.interface import named_interfaces
from castcore.errors import NetworkFailed, NotFound, Refused
from castcore.words import code_words

from castserver.accounts.operatortoken import TOKEN_FILE
from castserver.accounts.users import FIRST
from castserver.audit.auditlog import SERVER
from castserver.casts.advice import advise
from castserver.casts.castmodel import Request
from castserver.casts.onair import Transmitter
from castserver.casts.policy import CastRules
from castserver.cli import arguments, bootscreen
from castserver.logs.serverlog import keep_log
from castserver.machines.clockcheck import behind
from castserver.netboot.bootstate import DeployEnd
from castserver.netboot.bootviews import booting_view
from castserver.openfiles import allow_many
from castserver.runtime import Server
from castserver.settings import NetworkUse, ServerSettings
from castserver.state.statedir import default_state

NAME = "serve"
HELP = "serve network boots, casts, the REST API and the web console"
EXAMPLE = (
    "fleetcast serve --state /var/lib/fleetcast --images /srv/images"
    " --boot-tree /srv/fleetcast/pxe --interface eth1 --boot-mode proxy"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    _add_what_is_kept(parser)
    _add_who_is_served(parser)
    parser.add_argument(
        "--boot-tree",
        type=Path,
        help="what `media-builder pxe` made, to boot machines (default: that of the deploy medium)",
    )
    arguments.add_booting(parser)
    _add_casting(parser)
    arguments.add_network(parser)
    arguments.add_licences(parser)


def _add_what_is_kept(parser: argparse.ArgumentParser) -> None:
    """Where keys, database and images are."""
    add = parser.add_argument
    add("--state", type=Path, default=default_state(), help="keys, database and the operator's token")
    add(
        "--database",
        metavar="URL",
        help="keep everything in this PostgreSQL database: postgresql://USER@HOST/NAME, without a"
        " password; or `sqlite`, a file of the state directory (default: as before, at first sqlite)",
    )
    arguments.add_passfile(parser)
    add(
        "--images",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="the directory of images (default: the usual store); again for each further folder, which"
        " may be a network mount: its images are FOLDER/NAME",
    )
    add(
        "--media",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="image file (or device) of a deploy medium: used while it is there; repeated (sticks are"
        " found by themselves)",
    )


def _add_who_is_served(parser: argparse.ArgumentParser) -> None:
    """Where clients and people come in."""
    add = parser.add_argument
    add(
        "--interface",
        action="append",
        default=[],
        metavar="IF",
        help="name or address of an interface that clients are on; again for each more to cast through"
        " (default: the only wired one)",
    )
    add("--listen-https", type=arguments.port, default=8443, help="TCP port of console and API")
    add(
        "--session-minutes",
        type=arguments.count,
        default=30,
        metavar="N",
        help="the console logs out who did nothing for so long, viewers excepted (%(default)s)",
    )
    add(
        "--approve-clients",
        action="store_true",
        help="a machine that was never approved waits for that: no orders, no image (as chosen last)",
    )
    add("--name", default=socket.gethostname(), help="what clients and the console call this server")
    add("--http-port", type=arguments.port, default=8080, help="TCP port of the boot files")


def _add_casting(parser: argparse.ArgumentParser) -> None:
    """What booted clients are told, and the cast that is made at once."""
    add = parser.add_argument
    add("--extra-cmdline", default="", help="more kernel arguments for the booted client")
    add("--rules", type=Path, metavar="FILE", help="TOML: which disk of a booted machine may be chosen")
    add(
        "--rate",
        type=arguments.rate,
        default=0,
        metavar="MB/s",
        help="all casts on an interface together send no faster",
    )
    add("--image", default="", help="make a cast of this image at once, open to whoever shows up")
    add(
        "--start-clients",
        type=arguments.count,
        metavar="N",
        help="start that cast when N machines have joined",
    )


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Serve until interrupted."""
    with screen.relayed() as err:
        logging.basicConfig(
            level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=err
        )
        logging.getLogger("fleetcast.audit").setLevel(logging.INFO)
        return _serve(args, screen)


def _serve(args: argparse.Namespace, screen: Screen) -> Any:
    settings = _settings(args)
    allow_many()
    server = Server(
        settings,
        lambda identity: _transmitter(settings, identity).legs(),
        bootscreen.listeners(screen),
    )
    server.start()
    keep_log(settings.state)
    stack = ExitStack()
    try:
        _introduce(server, screen)
        late = behind(time.time(), server.written())
        if late:
            screen.warn(late)
        advise(settings.interfaces, screen.warn, querier=args.querier, stack=stack)
        if args.image:
            _open_cast(server, args.image, args.start_clients, screen)
        server.wait()
        raise NetworkFailed(
            "the web server has ended by itself", hint="its log says why; start it again"
        )
    except KeyboardInterrupt:
        screen.say("Stopping.")
    finally:
        stack.close()
        server.stop()
    return {"url": settings.url, "stopped": True}


def _transmitter(settings: ServerSettings, identity: ServerIdentity) -> Transmitter:
    use = settings.network
    return Transmitter(
        identity.key, settings.interfaces, use.rate, use.ttl, jumbo=use.jumbo, polite=use.polite
    )


def _settings(args: argparse.Namespace) -> ServerSettings:
    if args.start_clients and not args.image:
        raise Refused("--start-clients needs --image", hint="name the image to cast")
    interfaces = named_interfaces(args.interface or [_only_interface()])
    names = [own.name for own in interfaces]
    wanted = arguments.boot_modes(args, names)
    folders = args.images or [default_store()]
    boots = args.boot_tree is not None and any(wanted.get(n) is not WantedMode.OFF for n in names)
    if boots and all(own.family is socket.AF_INET6 for own in interfaces):
        raise NotFound(
            "no interface to boot machines on has an IPv4 address",
            hint="give it one, see `ip addr`, or boot nothing with --boot-mode off",
        )
    return ServerSettings(
        state=args.state,
        images=folders[0],
        more_images=tuple(folders[1:]),
        interfaces=interfaces,
        name=args.name,
        https_port=args.listen_https,
        wanted=wanted,
        own_dhcp=arguments.own_dhcp(args, names),
        deploy_ends=_ends(args.deploy_end),
        headless=not sys.stdin.isatty(),
        boot_tree=args.boot_tree,
        http_port=args.http_port,
        extra_cmdline=args.extra_cmdline,
        replace_ipxe=args.replace_ipxe,
        rules=_rules(args.rules),
        session_minutes=args.session_minutes,
        approve_clients=args.approve_clients,
        licences=arguments.licence_terms(args),
        media=tuple(args.media),
        database=args.database,
        database_passfile=args.database_passfile,
        network=NetworkUse(args.rate, args.ttl, args.jumbo, args.polite, args.querier),
    )


def _ends(given: list[str]) -> frozenset[DeployEnd] | None:
    """What turns PXE deploy off, None when nothing was said about it."""
    return frozenset(DeployEnd(end) for end in given if end != arguments.NEVER) if given else None


def _rules(path: Path | None) -> bytes:
    """The rule file for the clients, proven to be one: they could only refuse another."""
    if path is None:
        return b""
    read_rules(path)
    return path.read_bytes()


def _only_interface() -> str:
    four = [n.name for n in nics.wired() if n.addresses]
    found = four or [n.name for n in nics.wired() if nics.ipv6_addresses(n.name)]
    if len(found) != 1:
        names = ", ".join(found) or "none has an address"
        raise NotFound(f"which interface are the clients on? ({names})", hint="name it with --interface")
    return found[0]


def _introduce(server: Server, screen: Screen) -> None:
    settings, key = server.settings, server.identity.key.public
    token = settings.state / TOKEN_FILE
    folders = ", ".join(map(str, (settings.images, *settings.more_images)))
    screen.say(f"Fleetcast serves {folders} at {settings.url}")
    screen.say(f"  key          {code_words(key)}")
    screen.say(f"  database     {server.database}")
    screen.say(f"  scripts      the token in {token}, or `fleetcast tokens make`")
    where = ", ".join(f"{own.name} ({own.address})" for own in settings.interfaces)
    screen.say(f"  clients on   {where}")
    media = server.parts.media.now
    medium = media.medium
    named = f"{medium.name} ({medium.where})" if medium is not None else str(media.state)
    screen.say(f"  medium       {named}")
    booting = server.parts.booting.state()
    deploy = booting.deploy
    if server.parts.approvals.required:
        screen.say("  machines     wait until they are approved (`fleetcast machines approve`)")
    state = "on" if deploy.on else f"off: {deploy.why} (`fleetcast booting on` turns it on)"
    none = "none, without --boot-tree or a medium with a PXE tree"
    screen.say(f"  PXE deploy   {state if booting.interfaces else none}")
    for kept in booting.interfaces:
        screen.say(f"  on {kept.interface:9} {kept.mode}: {kept.reason}")
    first = server.first_password
    if first is not None:
        screen.say(f"  log in as    {FIRST}, password {first} (shown this once)")
    screen.emit(
        {
            "event": "serving",
            "url": settings.url,
            "urls": [settings.url_on(own) for own in settings.interfaces],
            "key": key.hex(),
            "certificate_digest": server.identity.certificate_digest.hex(),
            "token_file": str(token),
            "database": server.database,
            "pxe": booting_view(booting).model_dump(mode="json"),
        }
    )
    if first is not None:
        screen.emit({"event": "first-user", "user": FIRST, "password": first})


def _open_cast(server: Server, image: str, start_clients: int | None, screen: Screen) -> None:
    """Make the cast asked for on the command line, unless the last run left it open."""
    casts = server.parts.casts
    rules = CastRules(start_clients, keep_open=True)
    same = (c for c in casts.all() if not c.state.ended and (c.image, c.rules) == (image, rules))
    cast = next(same, None) or casts.create(Request(image, rules, by=SERVER))
    screen.say(f"  cast         {cast.id}: {image}, {cast.state}")
    screen.emit({"event": "cast", "cast": cast.id, "image": image, "state": cast.state.value})
