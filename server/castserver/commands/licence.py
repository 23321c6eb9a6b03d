"""``fleetcast licence``: issuer keys, and licence files made, shown and verified."""

from __future__ import annotations

import argparse
import secrets
import time
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.licence.licencefiles import (
    issuer_key,
    make_issuer_key,
    read_licence,
    write_licence,
)
from castcore.errors import NotFound, Refused
from castcore.licence import ANY_IMAGE, ID_SIZE, Licence, issue_licence, open_licence, require_issuer
from castcore.plain import to_plain
from castcore.trust import SigningKey

from castserver.cli import arguments
from castserver.cli.imagekeys import add_key_argument, own_key
from castserver.cli.licencescreen import end_of, licence_lines
from castserver.wording import printable

NAME = "licence"
HELP = "make an issuer's key; issue, show and verify licence files"
EXAMPLE = (
    "fleetcast licence key issuer.key\n"
    "  fleetcast licence issue school.lic --key issuer.key --product 'office-*' --count 100"
    " --expires 2027-12-31\n"
    "  fleetcast licence verify school.lic --issuer KEY"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    key = actions.add_parser("key", help="make an issuer's key; its public half is shown")
    key.add_argument("file", type=Path, metavar="FILE", help="a new file, to be kept secret")
    issue = actions.add_parser("issue", help="sign a licence file")
    issue.add_argument("file", type=Path, metavar="FILE", help="a new file, NAME.lic")
    issue.add_argument(
        "--key", type=Path, metavar="FILE", help="the issuer's key (default: this server's own)"
    )
    add_key_argument(issue)
    issue.add_argument(
        "--product",
        default=ANY_IMAGE,
        metavar="PATTERN",
        help="the images it is for: a name, or a pattern like office-* (default: any)",
    )
    issue.add_argument(
        "--count", type=int, required=True, metavar="N", help="how many machines may be cast"
    )
    issue.add_argument(
        "--expires", type=end_of, default=0, metavar="DAY", help="the last day, UTC (default: never)"
    )
    issue.add_argument(
        "--medium", default="", metavar="SERIAL", help="only for the USB disk with this serial number"
    )
    show = actions.add_parser("show", help="what a licence file says")
    verify = actions.add_parser("verify", help="prove a licence file to be by its issuer, and valid now")
    for action in (show, verify):
        action.add_argument("file", type=Path, metavar="FILE", help="the licence file")
    verify.add_argument(
        "--issuer", metavar="HEX", help="the issuer's public key (default: this server's own)"
    )
    add_key_argument(verify)
    for action in (key, issue, show, verify):
        action.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object a line"
        )


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Do the action; return the key or the licence as JSON values."""
    match args.action:
        case "key":
            public = make_issuer_key(args.file).public.hex()
            screen.say(f"{args.file} is the issuer's secret key; its public key is\n{public}")
            return {"file": str(args.file), "issuer": public}
        case "issue":
            return _issue(args, screen)
        case "show":
            return _shown(open_licence(read_licence(args.file)), screen)
        case _:
            return _verify(args, screen)


def _issue(args: argparse.Namespace, screen: Screen) -> Any:
    key = issuer_key(args.key) if args.key is not None else _servers_key(args)
    data = issue_licence(
        key,
        secrets.token_bytes(ID_SIZE),
        args.product,
        args.count,
        expires=args.expires,
        medium=args.medium,
    )
    write_licence(args.file, data)
    return _shown(open_licence(data), screen)


def _verify(args: argparse.Namespace, screen: Screen) -> Any:
    licence = open_licence(read_licence(args.file))
    if args.issuer:
        issuer = arguments.public_key(args.issuer, "--issuer", "`fleetcast licence key`")
    else:
        issuer = _servers_key(args).public
    require_issuer(licence, frozenset({issuer.hex()}))
    if licence.expired(int(time.time())):
        raise Refused(f"licence {licence.id[:8]} has expired", hint="ask its issuer for a new one")
    return _shown(licence, screen)


def _servers_key(args: argparse.Namespace) -> SigningKey:
    key = own_key(args)
    if key is None:
        raise NotFound(
            f"no server key in {args.state}",
            hint="name the issuer's key, or start the server once: it makes its own",
        )
    return key


def _shown(licence: Licence, screen: Screen) -> Any:
    for line in licence_lines(licence, time.time()):
        screen.say(printable(line))
    return to_plain(licence)
