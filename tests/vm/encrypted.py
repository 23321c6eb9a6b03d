"""Runs inside a guest (tests.vm.guest): an encrypted disk is captured by its key and comes back.

Prints one line of JSON for each case; whatever goes wrong is an exception.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from castcore.disk import DiskLayout
from castcore.edge import commandline
from castcore.edge.image.imagefile import Image
from castcore.edge.run import run
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, restore

FOLDER = Path("/tmp/fleetcast-guest")
SIZE = 72 * MIB
START = MIB
KEY = b"correct horse battery staple"
GROUP = "fleetguest"
QUICK = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
ALONE = {"DM_DISABLE_UDEV": "1"}


def tool(*command: str | Path, data: bytes | None = None) -> str:
    done = run([str(c) for c in command], timeout=120, data=data, extra_env=ALONE)
    return done.decode(errors="replace")


def fleetcast(*argv: str | Path) -> ExitCode:
    return ExitCode(commandline.main("fleetcast", "", [capture, restore], [str(a) for a in argv]))


@contextmanager
def attached(disk: Path) -> Iterator[str]:
    loop = tool("losetup", "-f", "--show", "-o", str(START), disk).strip()
    try:
        yield loop
    finally:
        tool("losetup", "-d", loop)


@contextmanager
def opened(device: str, name: str) -> Iterator[str]:
    tool("cryptsetup", "open", device, name, "--key-file", "-", data=KEY)
    try:
        yield f"/dev/mapper/{name}"
    finally:
        tool("cryptsetup", "close", name)


@contextmanager
def volume(device: str, *, lvm: bool) -> Iterator[str]:
    """Where the file system is: in the opened container, or in a logical volume in it."""
    if not lvm:
        yield device
        return
    tool("vgchange", "-ay", "--noudevsync", GROUP)
    try:
        yield f"/dev/mapper/{GROUP}-root"
    finally:
        tool("vgchange", "-an", "--noudevsync", GROUP)


def fill(device: str) -> str:
    point = FOLDER / "point"
    point.mkdir(exist_ok=True)
    tool("mount", device, point)
    for number in range(200):
        (point / f"file-{number}").write_bytes(os.urandom(number * 97))
    for number in range(0, 200, 3):
        (point / f"file-{number}").unlink()
    tool("umount", point)
    return tree(device)


def tree(device: str) -> str:
    point = FOLDER / "point"
    tool("mount", "-o", "ro", device, point)
    try:
        return tool("sh", "-c", f"cd {point} && find . -type f | sort | xargs b2sum | b2sum")
    finally:
        tool("umount", point)


def make(disk: Path, kind: str, *, lvm: bool) -> str:
    with disk.open("wb") as file:
        # What an encrypted disk that was erased well holds: nothing compresses away.
        file.write(os.urandom(SIZE))
        file.seek(0)
        file.write(bytes(START))
    tool(
        "sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk, data=b"label: gpt\nstart=2048, type=L\n"
    )
    with attached(disk) as loop:
        tool("cryptsetup", "luksFormat", "-q", "--type", kind, *QUICK, "--key-file", "-", loop, data=KEY)
        with opened(loop, "made") as inside:
            if lvm:
                tool("pvcreate", "-q", inside)
                tool("vgcreate", "-q", GROUP, inside)
                tool(
                    "lvcreate",
                    "-q",
                    "-y",
                    "-Wn",
                    "-Zn",
                    "--noudevsync",
                    "-L",
                    "36m",
                    "-n",
                    "root",
                    GROUP,
                )
            with volume(inside, lvm=lvm) as device:
                tool("mkfs.ext4", "-q", "-F", device)
                return fill(device)


def layout(image: Path) -> tuple[DiskLayout, int]:
    with Image.open(image) as found:
        return found.manifest.disks[0].layout, found.manifest.used


def case(kind: str, *, lvm: bool) -> None:
    name = f"{kind}{'-lvm' if lvm else ''}"
    disk, target = FOLDER / f"{name}.raw", FOLDER / f"{name}.target"
    key = FOLDER / "key"
    key.write_bytes(KEY + b"\n")
    wrong = FOLDER / "wrong"
    wrong.write_bytes(b"guess")
    before = make(disk, kind, lvm=lvm)
    whole, part = FOLDER / f"{name}-whole.fcast", FOLDER / f"{name}.fcast"
    assert fleetcast("capture", disk, whole, "--level", "1") is ExitCode.OK
    assert fleetcast("capture", disk, part, "--unlock", f"1={wrong}") is ExitCode.REFUSED
    assert fleetcast("capture", disk, part, "--unlock", f"9={key}") is ExitCode.NOT_FOUND
    assert not part.exists()
    assert fleetcast("capture", disk, part, "--unlock", f"1={key}", "--level", "1") is ExitCode.OK
    assert "fleetcast-" not in tool("dmsetup", "ls")
    with target.open("wb") as file:
        file.write(b"\xa5" * (SIZE + MIB))
    assert fleetcast("restore", part, target, "--yes", "--verify") is ExitCode.OK
    with attached(target) as loop, opened(loop, "back") as inside, volume(inside, lvm=lvm) as device:
        tool("e2fsck", "-fn", device)
        after = tree(device)
    (told,) = layout(part)[0].partitions
    found = {"name": name, "same": before == after, "whole": layout(whole)[1], "used": layout(part)[1]}
    print(f"\nCASE {json.dumps(found | {'taken': told.taken, 'why': told.why})}")
    for path in (disk, target):
        path.unlink()


def main() -> None:
    FOLDER.mkdir()
    case("luks2", lvm=False)
    case("luks1", lvm=False)
    case("luks2", lvm=True)


if __name__ == "__main__":
    main()
