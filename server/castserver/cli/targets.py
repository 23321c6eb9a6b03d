"""The disks that a command is about to erase: which they are, the plan, and the operator's word."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from castcore.disk import (
    DiskFacts,
    Fit,
    Plan,
    Wishes,
    choose_targets,
    plan_lines,
    plan_restore,
    plan_to_json,
    refusal,
)
from castcore.edge.commandline import Screen
from castcore.edge.disk import probe
from castcore.edge.disk.named import named_disk, read_rules
from castcore.errors import Refused
from castcore.image import Manifest

from castserver.cli.imagescreen import image_lines, target_lines
from castserver.wording import printable

_MAPPING = re.compile(r"(\d{1,4})=(.+)")


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how the disks to erase are named."""
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="the disk to erase (one for each disk of the image): a path, by-id:NAME, by-path:NAME,"
        " wwn:NUMBER or serial:NUMBER; without any, the rules choose, or the only free built-in disk",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="N=TARGET",
        help="disk N of the image goes to TARGET (once for each disk)",
    )
    parser.add_argument(
        "--rules", type=Path, metavar="FILE", help="a TOML file that says which disk may be chosen"
    )
    parser.add_argument(
        "--sector-size",
        type=int,
        choices=(512, 4096),
        default=0,
        help="for a raw file: the sectors of the disk it is for (default: as imaged)",
    )


def target_facts(manifest: Manifest, args: argparse.Namespace) -> list[DiskFacts]:
    """The disks that take those of the image, in their order, as they are now.

    Raises Refused, NotFound, DiskFailed.
    """
    count = len(manifest.disks)
    if args.rules and (args.targets or args.map):
        raise Refused("--rules choose the disks; none can be named beside them", hint="leave one out")
    if args.yes and not (args.rules or args.targets or args.map):
        raise Refused(
            "no disk is named, and with --yes nobody is asked whether the right one was found",
            hint="name the disk, give --rules, or leave --yes out",
        )
    if args.rules or not (args.targets or args.map):
        rules = read_rules(args.rules) if args.rules else ()
        return choose_targets(count, probe.disks(), rules)
    names = _mapped(count, args.map, args.targets) if args.map else args.targets
    facts = [named_disk(name, sector_size=args.sector_size) for name in names]
    if args.sector_size:
        return facts
    # A file has no sectors of its own: it is written for the sector size the image has.
    return [
        replace(f, sector_size=d.layout.sector_size) if f.bus == "file" else f
        for f, d in zip(facts, manifest.disks, strict=False)
    ] + facts[count:]


def planned(manifest: Manifest, args: argparse.Namespace, wishes: Wishes, screen: Screen) -> Plan:
    """Find the targets and show what will be done to them, for people and as a JSON line.

    Raises what speaks against it: DoesNotFit, InUse, Refused, NotFound.
    """
    verdict = plan_restore(manifest.name, manifest.disks, target_facts(manifest, args), wishes)
    if isinstance(verdict, Fit):
        raise refusal(manifest.name, verdict)
    show_plan(manifest, verdict, screen)
    return verdict


def show_plan(manifest: Manifest, plan: Plan, screen: Screen, *, erased: bool = True) -> None:
    """Show the image, the disks with what is on them now (and will be ``erased``), and every step."""
    targets = (x for t in plan.targets for x in target_lines(t, erased=erased))
    for line in [*image_lines(manifest), *targets]:
        screen.say(line)
    for line in plan_lines(plan):
        screen.say(printable(line))
    screen.emit({"event": "plan", **plan_to_json(plan)})


def _mapped(count: int, pairs: Sequence[str], targets: Sequence[str]) -> list[str]:
    """The names of the targets in the order of the image's disks. Raises Refused."""
    if targets:
        raise Refused("targets are named twice, by --map and without", hint="use --map alone")
    named: dict[int, str] = {}
    for pair in pairs:
        found = _MAPPING.fullmatch(pair)
        if found is None:
            raise Refused(f"--map {pair}: not N=TARGET", hint="for example --map 0=by-id:wwn-0x5000...")
        number = int(found[1])
        if number >= count:
            raise Refused(f"--map {pair}: the image's disks are 0 to {count - 1}")
        if number in named:
            raise Refused(f"--map names disk {number} of the image twice")
        named[number] = found[2]
    missing = [str(n) for n in range(count) if n not in named]
    if missing:
        raise Refused(
            f"--map says nothing of disk {', '.join(missing)} of the image", hint="map each disk"
        )
    return [named[n] for n in range(count)]
