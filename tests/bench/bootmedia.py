"""What a machine loads and how long it takes to "client ready": two bars of `make bench-boot`.

The time is that of a virtual PC, power-on to ready, as a ratio to a bare one's: the same kernel with a
busybox initramfs that says so, over the same firmware, DHCP, TFTP and HTTP, in pairs in the same run.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

from castcore.edge import run
from castmedia import tree as trees
from castmedia.bootroot import loaded_libraries
from castmedia.initramfs import write_initramfs
from castmedia.pxe import build
from castmedia.recipe import Profile
from castmedia.stages import Options

from tests.bench.table import Bar
from tests.vm.firmware import Firmware
from tests.vm.readyboot import READY, seconds_until

BUILD = Path(__file__).resolve().parents[2] / "build"
FOLDER = BUILD / "bench-boot"
MB = 1_000_000
MOST_BYTES = {Profile.VM: 32 * MB, Profile.FULL: 75 * MB}
MEMORY_MIB = {Profile.VM: 512, Profile.FULL: 1024}
MOST_RATIO = 3.0
PAIRS = 3
FIRMWARES = (Firmware.BIOS, Firmware.UEFI_SECURE)
BARE_SAYS = "BARE-BUSYBOX-READY"
BARE = re.compile(BARE_SAYS)
BUSYBOX, LOADER = "/bin/busybox", "/lib64/ld-linux-x86-64.so.2"
_INIT = f"""#!/bin/busybox sh
/bin/busybox echo {BARE_SAYS} >/dev/console
while :; do /bin/busybox sleep 60; done
"""


def media_bars(say: Callable[[str], None], *, pairs: int = PAIRS, claim: bool = True) -> list[Bar]:
    """The rows: bytes of each profile, then the ratio with each firmware."""
    made = {profile: _tree(profile) for profile in Profile}
    sizes = [size_bar(profile, made[profile], claim=claim) for profile in Profile]
    bare = bare_tree(made[Profile.VM], FOLDER / "bare")
    return sizes + [ratio_bar(f, made[Profile.VM], bare, say, pairs, claim=claim) for f in FIRMWARES]


def size_bar(profile: Profile, tree: Path, *, claim: bool) -> Bar:
    """Bytes of kernel and boot image of ``profile``, without driver packs."""
    loaded = loaded_bytes(tree)
    most = MOST_BYTES[profile]
    return Bar(
        f"kernel + initramfs, {profile}",
        f"{loaded / MB:.1f} MB",
        f"<= {most // MB} MB" if claim else "",
        loaded <= most,
        [loaded],
    )


def loaded_bytes(tree: Path) -> int:
    """The bytes of kernel and initrd of a PXE tree."""
    files = json.loads((tree / trees.TREE_JSON).read_text())["files"]
    return sum(int(files[role]["size"]) for role in ("kernel", "initrd"))


def ratio_bar(
    firmware: Firmware, ours: Path, bare: Path, say: Callable[[str], None], pairs: int, *, claim: bool
) -> Bar:
    """Power-on to ready, ours to bare: the median of ``pairs`` paired runs."""
    taken = []
    for number in range(1, pairs + 1):
        pair = (seconds(bare, firmware, BARE), seconds(ours, firmware, READY))
        say(f"{firmware} pair {number}: bare {pair[0]:.1f} s, client ready {pair[1]:.1f} s")
        taken.append(pair)
    ratios = [ready / first for first, ready in taken]
    middle = statistics.median(ratios)
    medians = [statistics.median(column) for column in zip(*taken, strict=True)]
    return Bar(
        f"power-on to client ready, {firmware}, {MEMORY_MIB[Profile.VM]} MB",
        f"{medians[1]:.1f} s, {middle:.2f} x bare busybox ({medians[0]:.1f} s)",
        f"<= {MOST_RATIO} x" if claim else "",
        middle <= MOST_RATIO,
        ratios,
    )


def seconds(tree: Path, firmware: Firmware, said: re.Pattern[str]) -> float:
    """Seconds from power-on until a PC that boots from ``tree`` has ``said`` it."""
    memory = MEMORY_MIB[Profile.VM]
    return seconds_until(said, tree, firmware, memory=memory, folder=FOLDER / "run")


def bare_tree(tree: Path, output: Path) -> Path:
    """A PXE tree like ``tree`` whose initrd is busybox alone."""
    shutil.rmtree(output, ignore_errors=True)
    root = output.with_name(f"{output.name}-root")
    shutil.rmtree(root, ignore_errors=True)
    for name in ("dev", "proc", "sys"):
        (root / name).mkdir(parents=True)
    listed = run.run([LOADER, "--list", BUSYBOX], timeout=10).decode()
    for path in (BUSYBOX, *loaded_libraries(listed, BUSYBOX)):
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o755)
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    initrd = output.with_name("bare.img")
    write_initramfs(root, initrd, progress=lambda _progress: None)
    files = json.loads((tree / trees.TREE_JSON).read_text())["files"]
    places = {role: (file["name"], tree / file["name"]) for role, file in files.items()}
    trees.write_tree(output, places | {"initrd": (files["initrd"]["name"], initrd)})
    return output


def _tree(profile: Profile) -> Path:
    output = BUILD / f"media-{profile}"
    build(output, Options(BUILD / "cache", profile))
    return output
