"""``fleetcast doctor``: what is wrong with the network or the server, before anything is cast by it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from castcore.doctor import Finding, Level, judge_host, judge_interface, judge_server
from castcore.doctor.ports import server_ports
from castcore.edge.commandline import Screen
from castcore.edge.doctor.examination import examine
from castcore.edge.image.store import default_store
from castcore.edge.net import nics
from castcore.errors import NetworkFailed, NotFound, Refused
from castcore.plain import to_plain

from castserver.cli import arguments
from castserver.state.statedir import default_state

NAME = "doctor"
HELP = "look at network and server and say what would spoil a cast or a network boot; changes nothing"
EXAMPLE = "fleetcast doctor"
NETWORK_EXAMPLE = "fleetcast doctor network --interface eth1"
SERVER_EXAMPLE = "fleetcast doctor server --images /srv/images --boot-tree /srv/fleetcast/pxe"
LISTEN_SECONDS = 5
WORDS = {Level.OK: "ok", Level.WARNING: "WARNING", Level.PROBLEM: "PROBLEM"}
_CODES = " Exit code 0: nothing that must be mended (warnings may be); 9: a problem was found."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; without a subject both are looked at."""
    subjects = parser.add_subparsers(dest="subject", metavar="SUBJECT (default: both)")
    network = _add_subject(
        subjects,
        "network",
        "ports, DHCP and PXE servers, queriers, link, MTU, addresses, firewall",
        "Ports, other DHCP, PXE and cast servers, IGMP queriers, link, MTU, addresses,"
        " multicast and firewall of each interface.",
        NETWORK_EXAMPLE,
    )
    _add_network(network)
    server = _add_subject(
        subjects,
        "server",
        "state directory, database, certificate, boot tree, image folders, space, clock",
        "State directory, secrets, database, certificate, boot tree, folders of images, free space,"
        " clock and open files of the server on this machine, whether it runs or not.",
        SERVER_EXAMPLE,
    )
    _add_server(server)
    for action in (*network._actions, *server._actions):  # noqa: SLF001 - argparse has no other way
        if action.default is not argparse.SUPPRESS:
            parser.set_defaults(**{action.dest: action.default})


def _add_subject(
    subjects: Any, name: str, short: str, description: str, example: str
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = subjects.add_parser(
        name,
        help=short,
        description=description + _CODES,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object a line"
    )
    return made


def _add_network(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--interface",
        action="append",
        default=[],
        metavar="IF",
        help="name of an interface to look at; again for each more (default: every wired one)",
    )
    add(
        "--listen",
        type=arguments.seconds,
        default=LISTEN_SECONDS,
        metavar="S",
        help="listen so many seconds for an IGMP querier; 130 are sure (default: %(default)s)",
    )
    add("--listen-https", type=arguments.port, default=8443, help="TCP port of console and API")
    add("--http-port", type=arguments.port, default=8080, help="TCP port of the boot files")


def _add_server(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--state", type=Path, default=default_state(), metavar="DIR", help="the server's state")
    add(
        "--images",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="a folder of images; again for each more (default: the usual store)",
    )
    add("--boot-tree", type=Path, metavar="DIR", help="what `media-builder pxe` made")
    arguments.add_passfile(parser)


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Look, tell each finding, and fail when one is a problem."""
    if os.geteuid() != 0:
        raise Refused("looking at ports, packets and the state needs root", hint="run it as root")
    findings: list[Finding] = []
    if args.subject != "network":
        findings += _show(_server(args), screen)
    if args.subject != "server":
        findings += _show(_network(args, screen), screen)
    problems = [f for f in findings if f.level is Level.PROBLEM]
    if problems:
        subjects = ", ".join(dict.fromkeys(f.subject for f in problems))
        raise NetworkFailed(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} on {subjects}",
            hint="mend what is marked PROBLEM, then look again",
        )
    return {"findings": [to_plain(finding) for finding in findings]}


def _server(args: argparse.Namespace) -> Sequence[Finding]:
    # It brings the database along, which the list of all commands must not wait for.
    from castserver.state import examination

    folders = args.images or [default_store()]
    facts = examination.examine(args.state, folders, args.boot_tree, args.database_passfile)
    return judge_server(facts)


def _network(args: argparse.Namespace, screen: Screen) -> Sequence[Finding]:
    names = list(dict.fromkeys(args.interface)) or [nic.name for nic in nics.wired()]
    if not names:
        raise NotFound("there is no wired interface", hint="name one with --interface")
    screen.say(f"Looking at {', '.join(names)} ...")
    ports = server_ports(args.http_port, args.listen_https)
    interfaces, host = examine(names, ports, args.listen)
    findings = [f for facts in interfaces for f in judge_interface(facts)] + list(judge_host(host))
    findings.sort(key=lambda f: names.index(f.subject) if f.subject in names else len(names))
    return findings


def _show(findings: Sequence[Finding], screen: Screen) -> Sequence[Finding]:
    subject = ""
    for finding in findings:
        if finding.subject != subject:
            subject = finding.subject
            screen.say(f"\n{subject}")
        screen.say(f"  {WORDS[finding.level]:8} {finding.check:13} {finding.what}")
        if finding.do:
            screen.say(f"  {'':8} {'':13} -> {finding.do}")
        screen.emit({"event": "finding", **to_plain(finding)})
    return findings
