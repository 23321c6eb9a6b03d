"""The writing half of ``fleetcast restore``: check, compare, write; and what is told of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from castcore.cast.chunkset import ChunkSet
from castcore.disk import DiskFacts, Plan
from castcore.edge.commandline import Screen
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.growing import grow
from castcore.edge.image.delta import Held, compare, missing_data
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import RestoreResult, restore
from castcore.edge.image.restorerecord import RestoreRecord, default_records
from castcore.edge.image.storedcheck import check_stored
from castcore.errors import NotFound
from castcore.image import Manifest
from castcore.units import human


def add_writing_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what says how the disk is written."""
    parser.add_argument("--verify", action="store_true", help="read the disk back and prove every byte")
    parser.add_argument(
        "--skip-check",
        action="store_true",
        help="do not prove the whole image before erasing; a damaged one is then met half way",
    )
    parser.add_argument(
        "--discard",
        action="store_true",
        help="tell the disk that everything the image does not use is free; what was there is lost",
    )
    known = parser.add_mutually_exclusive_group()
    known.add_argument(
        "--delta",
        action="store_true",
        help="read the disk first and write only what differs; nothing at all when nothing does",
    )
    known.add_argument(
        "--resume",
        action="store_true",
        help="go on with a restore of this image to this disk that was cut off",
    )


def write_disks(args: argparse.Namespace, image: Image, plan: Plan, screen: Screen) -> RestoreResult:
    """Check what is going to be read of ``image``, then write it to the disks of ``plan``."""
    facts = plan.targets
    record = RestoreRecord(default_records(), image.manifest.index_digest, facts)
    claimed = _claimed(image, facts, record) if args.resume else None
    some = args.delta or args.resume
    if not (some or args.skip_check):
        check_stored(image, progress=screen.progress)
    with ExitStack() as stack:
        disks = [
            stack.enter_context(BlockFile.open_target(f.path, sector_size=f.sector_size)) for f in facts
        ]
        held: Held | None = None
        if some:
            held = compare(image, disks, claimed=claimed, progress=screen.progress)
            if not args.skip_check:
                check_stored(image, chunks=missing_data(image, held.chunks), progress=screen.progress)
        return restore(
            image,
            disks,
            held=held,
            conversions=dict(plan.conversions),
            record=record,
            discard=args.discard,
            verify=args.verify,
            progress=screen.progress,
        )


def grow_partitions(manifest: Manifest, plan: Plan, screen: Screen) -> None:
    """Let the partitions grow that the plan says, on the disks just written."""
    for number, grown in plan.growths:
        target = plan.targets[number]
        with BlockFile.open_target(target.path, sector_size=target.sector_size) as disk:
            grow(disk, manifest.disks[number].layout, grown)
        screen.say(f"{target.path}: partition {grown.number} has {human(grown.after.length)} now")


def tell(
    args: argparse.Namespace,
    manifest: Manifest,
    done: RestoreResult,
    facts: Sequence[DiskFacts],
    screen: Screen,
) -> None:
    """Say what was written, and what a comparison saved."""
    proven = ", read back and proven" if done.verified else ""
    screen.say(
        f"restored {manifest.name} to {_names(facts)}:"
        f" {human(done.written)} written in {done.seconds:.1f} s{proven}"
    )
    if args.delta or args.resume:
        screen.say(
            f"  {done.kept} of {done.chunks} chunks were there already, proven by reading"
            f" {human(done.read)}: {human(manifest.used - done.written)} were not written again"
        )


def restore_json(done: RestoreResult) -> dict[str, Any]:
    """What was restored as JSON values; sizes in bytes."""
    return {
        "root": done.root.hex(),
        "written": done.written,
        "read": done.read,
        "kept": done.kept,
        "milliseconds": int(done.seconds * 1000),
        "verified": done.verified,
    }


def _names(facts: Sequence[DiskFacts]) -> str:
    return ", ".join(f.path for f in facts)


def _claimed(image: Image, facts: Sequence[DiskFacts], record: RestoreRecord) -> ChunkSet:
    """The chunks that an earlier restore made durable."""
    claimed = record.load(len(image.index))
    if claimed is None:
        raise NotFound(
            f"no restore of {image.manifest.name} to {_names(facts)} was cut off here",
            hint="restore it from the start, or with `fleetcast restore --delta`",
        )
    return claimed
