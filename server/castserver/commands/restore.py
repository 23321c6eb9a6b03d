"""``fleetcast restore``: an image is written to disks, after a plan was shown and confirmed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from castcore.disk import DiskFacts, Wishes
from castcore.disk.objections import objections
from castcore.edge import efivars
from castcore.edge.commandline import Screen
from castcore.edge.disk.bootafter import boot_afterwards
from castcore.edge.disk.growing import require_tools
from castcore.edge.image.imagefile import Image
from castcore.edge.image.signing import require_trusted
from castcore.edge.image.store import image_path
from castcore.errors import Refused
from castcore.image import Manifest

from castserver.cli import arguments, partitionrestore
from castserver.cli.confirming import confirm_erase
from castserver.cli.imagekeys import add_key_argument, own_key
from castserver.cli.imagescreen import add_store_argument
from castserver.cli.restoring import (
    add_writing_arguments,
    grow_partitions,
    restore_json,
    tell,
    write_disks,
)
from castserver.cli.targets import add_target_arguments, planned

NAME = "restore"
HELP = "write an image to a disk, erasing what is on it"
EXAMPLE = "fleetcast restore win11 /dev/sdb --verify"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name in the store, or a path")
    add_target_arguments(parser)
    partitionrestore.add_arguments(parser)
    add_store_argument(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask before erasing")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and write nothing")
    add_writing_arguments(parser)
    add_key_argument(parser)
    parser.add_argument(
        "--allow-unsigned",
        action="store_true",
        help="restore an image although this server's key has not signed it",
    )
    parser.add_argument(
        "--grow",
        action="append",
        type=arguments.partition,
        default=[],
        metavar="N",
        help="then let partition N, the last on its disk, fill it, with its file system"
        " (ext2/3/4, NTFS, XFS; D:N for another disk of the image than the first)",
    )
    parser.add_argument(
        "--boot-entries",
        action="store_true",
        help="then give this machine's UEFI firmware the image's boot entries, and boot the disk next",
    )


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Restore; return what was written as JSON values."""
    with Image.open(image_path(args.image, args.store)) as image:
        key = None if args.allow_unsigned else own_key(args)
        require_trusted(image, key.public if key else None)
        if args.partition:
            return partitionrestore.run(args, image, screen)
        wishes = Wishes(
            check=not args.skip_check,
            verify=args.verify,
            grow=tuple(args.grow),
            convert=True,
            delta=args.delta or args.resume,
            discard=args.discard,
        )
        plan = planned(image.manifest, args, wishes, screen)
        require_tools(grown for _, grown in plan.growths)
        facts = plan.targets
        paths = [f.path for f in facts]
        if args.boot_entries:
            _require_uefi(facts)
        warnings = _objections(image.manifest, here=args.boot_entries)
        for text in warnings:
            screen.warn(text)
        if args.dry_run:
            screen.say("nothing was written (--dry-run)")
            return {
                "image": image.manifest.name,
                "targets": paths,
                "dry_run": True,
                "warnings": warnings,
            }
        if not args.yes:
            confirm_erase(paths, screen)
        done = write_disks(args, image, plan, screen)
        grow_partitions(image.manifest, plan, screen)
        tell(args, image.manifest, done, facts, screen)
        booting = boot_afterwards(image.manifest.boot_entries, facts) if args.boot_entries else []
        for line in booting:
            screen.say(f"  {line}")
        return {
            "image": image.manifest.name,
            "targets": paths,
            "boot": booting,
            "warnings": warnings,
            **restore_json(done),
        }


def _objections(manifest: Manifest, *, here: bool) -> tuple[str, ...]:
    """What a firmware, or the restored system, will object to; ``here``: it boots on this machine."""
    return objections(
        [disk.layout for disk in manifest.disks],
        manifest.boot_entries,
        manifest.boot_loaders,
        efivars.firmware_facts() if here else None,
    )


def _require_uefi(targets: Sequence[DiskFacts]) -> None:
    """Refuse before anything is erased what could not be done afterwards."""
    if any(target.bus == "file" for target in targets):
        raise Refused("no firmware boots a file", hint="leave --boot-entries out")
    if not efivars.available():
        raise Refused(
            "this machine was not started by UEFI: there are no boot entries to make",
            hint="leave --boot-entries out, or start it by UEFI",
        )
