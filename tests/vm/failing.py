"""Runs inside a guest (tests.vm.guest): sources with bad sectors, targets that fail half way.

The disks are the kernel's own (scsi_debug, which fails where it is told to), and device mapper over
them. Prints one line of JSON with what was seen; whatever goes wrong is an exception.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from castcore.edge import commandline
from castcore.edge.disk.blockdev import BlockFile
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, restore

from tests.vm.arrays import FOLDER, disks, tool

IMAGE = FOLDER / "failing.fcast"
SCSI = Path("/sys/bus/pseudo/drivers/scsi_debug")
PARAMETERS = Path("/sys/module/scsi_debug/parameters")
MEDIUM_ERRORS = "2"  # of scsi_debug's opts
START = MIB
BLOCK = 4096
BAD_SECTORS = 3
SOUND = 20 * MIB  # a failing target takes so much
FILES = 8
FILE_SIZE = 3 * MIB
HEAD = 17408  # boot code and GPT: in use in every image of a GPT disk


def fleetcast(*argv: str | Path) -> tuple[ExitCode, str]:
    """The exit code of a command and all that it said."""
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(said):
        code = commandline.main("fleetcast", "", [capture, restore], [str(a) for a in argv])
    print(said.getvalue())
    return ExitCode(code), said.getvalue()


def fill(disk: str) -> dict[str, bytes]:
    """A partition table and files on ``disk``; the files' contents by name."""
    tool("sfdisk", "-q", disk, data=b"label: gpt\nstart=2048, type=L\n")
    tool("blockdev", "--rereadpt", disk)
    tool("mkfs.ext4", "-q", "-F", "-b", str(BLOCK), "-O", "^has_journal", f"{disk}1")
    contents = {f"file-{number}": os.urandom(FILE_SIZE) for number in range(FILES)}
    with mounted(f"{disk}1") as point:
        for name, content in contents.items():
            (point / name).write_bytes(content)
    return contents


@contextmanager
def mounted(device: str) -> Iterator[Path]:
    point = FOLDER / "point"
    point.mkdir(exist_ok=True)
    tool("mount", device, point)
    try:
        yield point
    finally:
        tool("umount", point)


def place_of(device: str, name: str, block: int) -> int:
    """The byte of the disk at which block number ``block`` of a file lies."""
    blocks = tool("debugfs", "-R", f"blocks /{name}", device).split()
    return START + int(blocks[block]) * BLOCK


@contextmanager
def bad_sectors(start: int) -> Iterator[None]:
    """BAD_SECTORS sectors from byte ``start`` on cannot be read, of any disk."""
    (PARAMETERS / "medium_error_start").write_text(str(start // 512))
    (PARAMETERS / "medium_error_count").write_text(str(BAD_SECTORS))
    (SCSI / "opts").write_text(MEDIUM_ERRORS)
    try:
        yield
    finally:
        (SCSI / "opts").write_text("0")


def errors(disk: str) -> int:
    """The commands that ``disk`` has answered with an error so far."""
    return int(Path("/sys/block", Path(disk).name, "device/ioerr_cnt").read_text(), 16)


def rescue(source: str, target: str) -> dict[str, object]:
    contents = fill(source)
    name, block = "file-3", 100
    page = place_of(f"{source}1", name, block)
    with bad_sectors(page + 512):
        before = errors(source)
        code, said = fleetcast("capture", source, IMAGE)
        seen: dict[str, object] = {
            # What is read again is a page: the first byte of it is named.
            "plain": code == ExitCode.IO and f"cannot read at byte {page}" in said,
            "hint": "--rescue" in said,
            "image": IMAGE.exists(),
            "tries": errors(source) - before,
        }
        code, said = fleetcast("capture", source, IMAGE, "--rescue")
        assert code is ExitCode.OK, code
        seen["told"] = (
            f"could not be read and are zeros in the image: bytes {page}-{page + BLOCK - 1}" in said
        )
    manifest = json.loads((IMAGE / "manifest.json").read_bytes())
    seen["listed"] = f'"unreadable":[{page},{BLOCK}]' in json.dumps(manifest, separators=(",", ":"))
    assert fleetcast("restore", IMAGE, target, "--yes", "--verify")[0] is ExitCode.OK
    tool("blockdev", "--rereadpt", target)
    wanted = bytearray(contents[name])
    wanted[block * BLOCK : (block + 1) * BLOCK] = bytes(BLOCK)
    contents[name] = bytes(wanted)
    with mounted(f"{target}1") as point:
        found = {path.name: path.read_bytes() for path in point.iterdir() if path.is_file()}
    return seen | {"same": found == contents}


def failed_restore(target: str) -> dict[str, object]:
    """What a restore says of a target that fails half way, and what it leaves there."""
    with BlockFile.open_target(target) as disk:
        disk.write(0, b"\xa5" * MIB)
        size = disk.size
    code, said = fleetcast("restore", IMAGE, target, "--yes")
    failed = re.search(r"cannot (?:write|zero) at byte (\d+): ([^\n]*)", said)
    with BlockFile.open_source(target) as disk:
        head = disk.read(0, HEAD)
    return {
        "code": int(code),
        "at": int(failed[1]) if failed else -1,
        "why": failed[2] if failed else said,
        "size": size,
        "zeroed": head == bytes(HEAD),
    }


def io_error(under: str) -> dict[str, object]:
    """A target whose later part cannot be written."""
    sectors = int(tool("blockdev", "--getsz", under))
    sound = SOUND // 512
    table = f"0 {sound} linear {under} 0\n{sound} {sectors - sound} error\n"
    with mapped("failing", table) as device:
        return failed_restore(device)


def no_space(under: str) -> dict[str, object]:
    """A thin volume whose pool is full before it is."""
    sectors = int(tool("blockdev", "--getsz", under))
    meta = 4 * MIB // 512
    with BlockFile.open_target(under) as disk:
        disk.zero(0, 4 * MIB)
    with (
        mapped("meta", f"0 {meta} linear {under} 0\n") as meta_device,
        mapped("data", f"0 {SOUND // 512} linear {under} {meta}\n") as data_device,
        mapped(
            "pool",
            f"0 {SOUND // 512} thin-pool {meta_device} {data_device} 128 0 1 error_if_no_space\n",
        ) as pool,
    ):
        tool("dmsetup", "message", pool, "0", "create_thin 0")
        with mapped("thin", f"0 {sectors} thin {pool} 0\n") as device:
            return failed_restore(device)


@contextmanager
def mapped(name: str, table: str) -> Iterator[str]:
    tool("dmsetup", "create", "--noudevsync", "--verifyudev", name, data=table.encode())
    try:
        yield f"/dev/mapper/{name}"
    finally:
        tool("dmsetup", "remove", "--noudevsync", name)


def main() -> None:
    FOLDER.mkdir()
    source, target, under = disks()
    seen = {"rescue": rescue(source, target), "eio": io_error(under), "enospc": no_space(under)}
    print(f"\nCASE {json.dumps(seen)}")


if __name__ == "__main__":
    main()
