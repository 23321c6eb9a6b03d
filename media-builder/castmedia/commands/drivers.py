"""``media-builder drivers``: packs of drivers that Debian's kernel lacks, and what a machine needs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from castcore.edge.commandline import Screen
from castcore.errors import NotFound

from castmedia import coverage, driverpack, imagereader, inventory, packfolder, packmaking, stages
from castmedia.coverage import Covered, Verdict
from castmedia.driverpack import SecureBoot
from castmedia.modalias import Alias, AliasTable
from castmedia.packfolder import LoadedPack

NAME = "drivers"
HELP = "add drivers to boot media, and see which devices of a machine have none"
EXAMPLE = (
    "media-builder drivers add r8125.ko --secure-boot off\n"
    "  media-builder drivers add firmware-bnx2\n"
    "  lspci -nn -k > pc.txt; media-builder drivers check pc.txt --tree build/pxe\n"
    "  media-builder pxe --output build/pxe --drivers drivers/r8125"
)
FOLDER = Path("drivers")
IMAGE = "initrd.img"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = _action(actions, "add", "make a pack of a Debian package (name or .deb), a folder or a .ko")
    add.add_argument("source", metavar="SOURCE", help="package name, or path of a .deb, folder or .ko")
    add.add_argument("--name", help="the pack's name (default: from SOURCE)")
    add.add_argument("--licence", default="", help="its licence (default: what its modules say)")
    add.add_argument("--replace", action="store_true", help="take the place of a pack of that name")
    add.add_argument(
        "--secure-boot",
        type=SecureBoot,
        choices=list(SecureBoot),
        default=SecureBoot.KERNEL,
        help="kernel: only modules that Debian's kernel trusts by itself (%(default)s); enrolled: their "
        "signer's key is enrolled on the machines; off: Secure Boot is off on all of them",
    )
    add.add_argument(
        "--cache", type=Path, metavar="DIR", help=f"finished stages ({stages.default_cache()})"
    )
    add.add_argument("--mirror", metavar="LINE", help="Debian mirror (default: the host's own)")
    _action(actions, "list", "every pack, what it is for and where it loads")
    check = _action(actions, "check", "which devices of a machine have no driver in a boot image")
    check.add_argument(
        "inventory",
        metavar="INVENTORY",
        type=Path,
        help="what `fleetcast machines show ID --json`, `lspci -nn -k` or `lsusb` printed; - is stdin",
    )
    check.add_argument("--tree", type=Path, metavar="DIR", help="the PXE tree whose boot image is asked")
    check.add_argument("--image", type=Path, metavar="FILE", help="the boot image (initrd.img) itself")
    check.add_argument(
        "--drivers", type=Path, action="append", default=[], metavar="DIR", help="with this pack"
    )
    for one in (add, _parser(actions, "list")):
        one.add_argument(
            "--folder", type=Path, default=FOLDER, metavar="DIR", help="where packs are (%(default)s)"
        )


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n  {EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object a line"
    )
    return parser


def _parser(actions: Any, name: str) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = actions.choices[name]
    return found


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Do the action."""
    match args.action:
        case "add":
            return _add(args, screen)
        case "list":
            return _list(args.folder, screen)
        case _:
            return _check(args, screen)


def _add(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    options = stages.Options((args.cache or stages.default_cache()).resolve(), mirror=args.mirror)
    wish = packmaking.Wish(args.source, args.name or "", args.licence, args.secure_boot, args.replace)
    made = packmaking.make(args.folder, wish, options, say=screen.say, progress=screen.progress)
    screen.say(f"{made.folder}: {driverpack.about(made.pack)}")
    screen.say(f"build with it: media-builder pxe --drivers {made.folder} ...")
    return _row(made)


def _list(folder: Path, screen: Screen) -> dict[str, Any]:
    packs = packfolder.packs_in(folder)
    for loaded in packs:
        screen.say(f"{loaded.pack.name}: {driverpack.about(loaded.pack)}")
        screen.say(f"  from {loaded.pack.source}, licence {loaded.pack.licence}")
    if not packs:
        screen.say(f"no packs in {folder}")
    return {"folder": str(folder), "packs": [_row(loaded) for loaded in packs]}


def _row(loaded: LoadedPack) -> dict[str, Any]:
    pack = loaded.pack
    return {
        "name": pack.name,
        "folder": str(loaded.folder),
        "kernel": pack.kernel,
        "licence": pack.licence,
        "source": pack.source,
        "secure_boot": pack.secure_boot.value,
        "modules": [module.name for module in pack.modules],
        "ids": list(pack.ids),
        "firmware": [file.path for file in pack.firmware],
    }


def _check(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    devices = inventory.parse(_text(args.inventory))
    packs = [packfolder.load(folder) for folder in args.drivers]
    rows = coverage.covered(devices, _table(_image(args), packs))
    for row in rows:
        if row.verdict is not Verdict.UNNEEDED:
            screen.say(_line(row))
    missing = [row for row in rows if row.verdict is Verdict.MISSING]
    unneeded = sum(row.verdict is Verdict.UNNEEDED for row in rows)
    screen.say(
        f"{len(rows)} devices, {unneeded} that a cast does not need, {len(missing)} without a driver"
    )
    if missing:
        names = "; ".join(f"{row.device.ids} {row.device.name}".strip() for row in missing)
        raise NotFound(
            f"no driver in this boot image for {names}",
            hint="`media-builder pxe --profile full`, or a driver: `media-builder drivers add`",
        )
    return {"devices": [_plain(row) for row in rows]}


def _text(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.read()
    if not path.is_file():
        raise NotFound(f"there is no inventory {path}")
    return path.read_text(errors="replace")


def _image(args: argparse.Namespace) -> Path:
    if args.image is not None:
        return Path(args.image)
    if args.tree is None:
        raise NotFound("no boot image is named", hint="give --tree DIR (a PXE tree) or --image FILE")
    return Path(args.tree) / IMAGE


def _table(image: Path, packs: list[LoadedPack]) -> AliasTable:
    more = (Alias(pattern, m.name) for one in packs for m in one.pack.modules for pattern in m.ids)
    return imagereader.alias_table(image, more)


def _line(row: Covered) -> str:
    device = row.device
    what = ", ".join(row.modules) if row.modules else row.verdict.value.upper()
    about = " ".join(filter(None, (device.address, device.ids, device.name or row.purpose)))
    return f"  {what:<24}{about}"


def _plain(row: Covered) -> dict[str, Any]:
    device = row.device
    return {
        "address": device.address,
        "ids": device.ids,
        "name": device.name,
        "purpose": row.purpose,
        "verdict": row.verdict.value,
        "modules": list(row.modules),
    }
