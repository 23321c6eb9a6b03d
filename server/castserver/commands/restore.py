"""``fleetcast restore``: an image is written to disks, after a plan was shown and confirmed."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from castcore.disk import DiskFacts
from castcore.edge import probe
from castcore.edge.blockdev import BlockFile
from castcore.edge.commandline import Screen
from castcore.edge.imagefile import Image
from castcore.edge.restore import require_fit, restore
from castcore.edge.store import image_path
from castcore.edge.verify import verify_image
from castcore.errors import Refused
from castcore.units import human

from castserver.imagescreen import add_store_argument, image_lines, target_lines

NAME = "restore"
HELP = "write an image to a disk, erasing what is on it"
EXAMPLE = "fleetcast restore win11 /dev/sdb --verify"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name in the store, or a path")
    parser.add_argument(
        "targets", nargs="+", metavar="TARGET", help="the disk to erase (one for each disk of the image)"
    )
    add_store_argument(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask before erasing")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and write nothing")
    parser.add_argument("--verify", action="store_true", help="read the disk back and prove every byte")
    parser.add_argument(
        "--skip-check",
        action="store_true",
        help="do not prove the whole image before erasing; a damaged one is then met half way",
    )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Restore; return what was written as JSON values."""
    with Image.open(image_path(args.image, args.store)) as image:
        facts = _targets(image, args.targets)
        require_fit(image.manifest, facts)
        for line in [*image_lines(image.manifest), *(x for f in facts for x in target_lines(f))]:
            screen.say(line)
        if args.dry_run:
            screen.say("nothing was written (--dry-run)")
            return {"image": image.manifest.name, "targets": args.targets, "dry_run": True}
        if not args.yes:
            _ask(args.targets, screen)
        if not args.skip_check:
            verify_image(image, progress=screen.progress)
        with ExitStack() as stack:
            disks = [
                stack.enter_context(BlockFile.open_target(f.path, sector_size=f.sector_size))
                for f in facts
            ]
            done = restore(image, disks, verify=args.verify, progress=screen.progress)
        proven = ", read back and proven" if done.verified else ""
        screen.say(
            f"restored {image.manifest.name} to {', '.join(args.targets)}:"
            f" {human(done.written)} written in {done.seconds:.1f} s{proven}"
        )
        return {
            "image": image.manifest.name,
            "targets": args.targets,
            "root": done.root.hex(),
            "written": done.written,
            "milliseconds": int(done.seconds * 1000),
            "verified": done.verified,
        }


def _targets(image: Image, paths: list[str]) -> list[DiskFacts]:
    facts = [probe.disk(path) for path in paths]
    # A file has no sectors of its own: it is written for the sector size the image has.
    return [
        replace(f, sector_size=d.layout.sector_size) if Path(f.path).is_file() else f
        for f, d in zip(facts, image.manifest.disks, strict=False)
    ] + facts[len(image.manifest.disks) :]


def _ask(targets: list[str], screen: Screen) -> None:
    named = ", ".join(targets)
    if screen.as_json or not sys.stdin.isatty():
        raise Refused(f"nobody is here to confirm that {named} is erased", hint="add --yes")
    screen.say(f"Everything on {named} will be lost. Type yes to go on:")
    if sys.stdin.readline().strip() != "yes":
        raise Refused("not confirmed; nothing was written", hint="answer yes, the whole word")
