"""``fleetcast restore --partition``: one partition of an image to one of a disk that has others."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.disk import Fit, PartitionPlan, Wishes, plan_partition, refusal
from castcore.edge.commandline import Screen
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.named import named_disk
from castcore.edge.image.imagefile import Image
from castcore.edge.image.onepartition import restore_partition
from castcore.edge.image.storedcheck import check_stored
from castcore.errors import Refused
from castcore.units import human

from castserver.cli import arguments
from castserver.cli.confirming import confirm_erase
from castserver.cli.targets import show_plan

# What else `restore` can do is done to whole disks.
_WHOLE_DISKS = ("map", "rules", "grow", "boot_entries", "delta", "resume", "discard")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how one partition is named."""
    parser.add_argument(
        "--partition",
        type=arguments.partition,
        metavar="N",
        help="write only partition N of the image, to a partition of TARGET; nothing else is touched",
    )
    parser.add_argument(
        "--into",
        type=arguments.count,
        default=0,
        metavar="M",
        help="that partition of TARGET (default: N)",
    )


def run(args: argparse.Namespace, image: Image, screen: Screen) -> dict[str, Any]:
    """Restore the partition; return what was written as JSON values."""
    chosen = _planned(args, image)
    show_plan(image.manifest, chosen.plan, screen, erased=False)
    told: dict[str, Any] = {
        "image": image.manifest.name,
        "targets": [chosen.target.path],
        "partition": chosen.source.number,
        "into": chosen.place.number,
    }
    if args.dry_run:
        screen.say("nothing was written (--dry-run)")
        return told | {"dry_run": True}
    if not args.yes:
        confirm_erase([f"partition {chosen.place.number} of {chosen.target.path}"], screen)
    if not args.skip_check:
        check_stored(image, progress=screen.progress)
    target = chosen.target
    with BlockFile.open_target(target.path, sector_size=target.sector_size) as disk:
        done = restore_partition(
            image,
            chosen.disk,
            chosen.source,
            disk,
            chosen.place,
            verify=args.verify,
            progress=screen.progress,
        )
    proven = ", read back and proven" if done.verified else ""
    screen.say(
        f"restored partition {chosen.source.number} of {image.manifest.name} to partition"
        f" {chosen.place.number} of {target.path}: {human(done.written)} written"
        f" in {done.seconds:.1f} s{proven}"
    )
    return told | {
        "root": done.root.hex(),
        "written": done.written,
        "milliseconds": int(done.seconds * 1000),
        "verified": done.verified,
    }


def _planned(args: argparse.Namespace, image: Image) -> PartitionPlan:
    beside = [name for name in _WHOLE_DISKS if getattr(args, name)]
    if beside:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in beside)
        raise Refused(f"{named} is for whole disks, not for one partition", hint="leave it out")
    if len(args.targets) != 1:
        raise Refused("one partition goes to one disk", hint="name that disk")
    number = min(args.partition[0], len(image.manifest.disks) - 1)
    sector = args.sector_size or image.manifest.disks[number].layout.sector_size
    target = named_disk(args.targets[0], sector_size=sector)
    wishes = Wishes(check=not args.skip_check, verify=args.verify)
    verdict = plan_partition(
        image.manifest.name, image.manifest.disks, args.partition, target, args.into, wishes
    )
    if isinstance(verdict, Fit):
        raise refusal(image.manifest.name, verdict)
    return verdict
