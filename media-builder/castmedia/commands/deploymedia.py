"""``media-builder deploy-media``: a stick or image file with images, licences and a PXE tree."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.image.store import default_store, image_path
from castcore.edge.medium import medium_at
from castcore.errors import Refused
from castcore.medium import DataFileSystem
from castcore.units import human, parse_size

from castmedia import deploydata, mediarecipe, settingsoptions, stages, stick
from castmedia.deploymedia import Builder, Built, Wish, needed

NAME = "deploy-media"
HELP = "build or update a deploy medium: it boots, and carries images, licences and a PXE tree"
EXAMPLE = "media-builder deploy-media --write /dev/sdb --image office --licence office.lic"
STAYS = "Its boot part and PXE tree will be made new; its images, data and licences stay."
GOES = "Everything on it will be lost."
LICENCES_GO = "Everything on it will be lost, its images and licences too."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    add = parser.add_argument_group("where it goes").add_argument
    add("--output", type=Path, metavar="FILE", help="an image file; one that exists is updated")
    add("--size", metavar="N", help="its size when it is new, as 16G")
    add("--write", metavar="DISK", help="a stick: /dev/sdb, serial:NUMBER, by-id:NAME")
    add("--yes", metavar="NUMBER", help="its serial number (of one without: its path), not asked for")
    add("--erase", action="store_true", help="make a deploy medium anew instead of updating it")
    add = parser.add_argument_group("what is on it").add_argument
    add("--name", metavar="TEXT", help="what the server calls it")
    add("--image", action="append", metavar="IMAGE", help="an image to copy to it; repeatable")
    add("--store", type=Path, metavar="DIR", help="where the images are")
    add("--licence", action="append", type=Path, metavar="FILE", help="a licence file; repeatable")
    add("--replace", action="store_true", help="replace images and licences of the same name")
    add(
        "--filesystem",
        type=DataFileSystem,
        choices=list(DataFileSystem),
        help="of the data partition (ext4); exfat is read by Windows and macOS too",
    )
    add("--extra-cmdline", metavar="WORDS", help="more words for the kernel's command line")
    stages.add_arguments(parser)
    settingsoptions.add_arguments(parser)


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Build or update the medium; return what it is."""
    mediarecipe.apply(args, add_arguments)
    if (args.output is None) == (args.write is None):
        raise Refused("one place is wanted", hint="give --output FILE or --write DISK")
    builder = Builder(
        stages.options_of(args), settingsoptions.chosen(args), _wish(args), screen.say, screen.progress
    )
    if args.output is not None:
        built = builder.file(args.output, _size(args.size))
    else:
        built = _on_stick(args, builder, screen)
    _tell(built, screen)
    return {
        "output": built.path,
        "id": built.info.id,
        "name": built.info.name,
        "serial": built.serial,
        "bytes": built.size,
        "new": built.new,
        "boot_written": built.boot,
        "images": list(built.images),
        "loaded_bytes": built.loaded,
    }


def _wish(args: argparse.Namespace) -> Wish:
    store = args.store or default_store()
    images = [image_path(name, store) for name in args.image or ()]
    contents = deploydata.checked(images, args.licence or (), replace=args.replace)
    filesystem = args.filesystem or DataFileSystem.EXT4
    return Wish(contents, args.name or "", filesystem, args.extra_cmdline or "")


def _on_stick(args: argparse.Namespace, builder: Builder, screen: Screen) -> Built:
    builder.check()
    facts = stick.chosen_stick(args.write, 0)
    found = medium_at(facts.path)
    if found is not None and not args.erase:
        stick.confirm(facts, STAYS, args.yes, screen)
        return builder.update(facts, found)
    facts = stick.chosen_stick(args.write, needed(builder.wish.contents))
    stick.confirm(facts, GOES if found is None else LICENCES_GO, args.yes, screen)
    return builder.stick(facts)


def _size(text: str | None) -> int | None:
    try:
        return None if text is None else parse_size(text)
    except ValueError as error:
        raise Refused(str(error), hint="a --size is a number with a unit, as 16G") from None


def _tell(built: Built, screen: Screen) -> None:
    done = "made" if built.new else "updated" if built.boot else "was up to date, data looked after"
    screen.say(f"{built.path}: deploy medium {built.info.name!r} {done}, {human(built.size)}")
    if built.images:
        screen.say(f"  images copied: {', '.join(built.images)}")
    screen.say(f"  its licences are bound to {built.serial}")
