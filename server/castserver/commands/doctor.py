"""``fleetcast doctor``: what is wrong with the network, before anything is cast or booted through it."""

from __future__ import annotations

import argparse
import os
from typing import Any

from castcore.doctor import Finding, Level, judge_host, judge_interface
from castcore.doctor.ports import server_ports
from castcore.edge.commandline import Screen
from castcore.edge.doctor.examination import examine
from castcore.edge.net import nics
from castcore.errors import NetworkFailed, NotFound, Refused
from castcore.plain import to_plain

from castserver.cli import arguments

NAME = "doctor"
HELP = "look at the network and say what would spoil a cast or a network boot; changes nothing"
EXAMPLE = "fleetcast doctor network --interface eth1"
LISTEN_SECONDS = 5
WORDS = {Level.OK: "ok", Level.WARNING: "WARNING", Level.PROBLEM: "PROBLEM"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    subjects = parser.add_subparsers(dest="subject", metavar="SUBJECT", required=True)
    network = subjects.add_parser(
        "network",
        help="ports, DHCP and PXE servers, queriers, link, MTU, addresses, firewall",
        description="Ports, other DHCP, PXE and cast servers, IGMP queriers, link, MTU, addresses,"
        " multicast and firewall of each interface. Exit code 0: nothing that must be mended"
        " (warnings may be); 9: a problem was found.",
        epilog=f"example:\n  {EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = network.add_argument
    add("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object a line")
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


def run(args: argparse.Namespace, screen: Screen) -> Any:
    """Look, tell each finding, and fail when one is a problem."""
    if os.geteuid() != 0:
        raise Refused("looking at ports and packets needs root", hint="run it as root")
    names = list(dict.fromkeys(args.interface)) or [nic.name for nic in nics.wired()]
    if not names:
        raise NotFound("there is no wired interface", hint="name one with --interface")
    screen.say(f"Looking at {', '.join(names)} ...")
    ports = server_ports(args.http_port, args.listen_https)
    interfaces, host = examine(names, ports, args.listen)
    findings = [f for facts in interfaces for f in judge_interface(facts)] + list(judge_host(host))
    findings.sort(key=lambda f: names.index(f.subject) if f.subject in names else len(names))
    _show(findings, screen)
    problems = [f for f in findings if f.level is Level.PROBLEM]
    if problems:
        subjects = ", ".join(dict.fromkeys(f.subject for f in problems))
        raise NetworkFailed(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} on {subjects}",
            hint="mend what is marked PROBLEM, then look again",
        )
    return {"findings": [to_plain(finding) for finding in findings]}


def _show(findings: list[Finding], screen: Screen) -> None:
    subject = ""
    for finding in findings:
        if finding.subject != subject:
            subject = finding.subject
            screen.say(f"\n{subject}")
        screen.say(f"  {WORDS[finding.level]:8} {finding.check:13} {finding.what}")
        if finding.do:
            screen.say(f"  {'':8} {'':13} -> {finding.do}")
        screen.emit({"event": "finding", **to_plain(finding)})
