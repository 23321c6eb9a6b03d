"""What the client's screen shows; ``python -m tests.golden.clientscreens`` writes it anew.

A golden file holds each line after its tone, in upper case when it is solid.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from castclient import hotkeys, screen
from castclient.model import CastNow, DiskNow, Model
from castclient.phases import Phase
from castcore.control import ClientState, Machine, Nic
from castcore.disk import DiskFacts
from castcore.units import GIB, MIB

FOLDER = Path(__file__).with_name("clientscreens")
DISKS = (
    DiskFacts("/dev/nvme0n1", "nvme-S7HG", 2000 * GIB, 512, "Samsung SSD 990 PRO 2TB", "S7HGNJ0X123456"),
    DiskFacts("/dev/sda", "ata-WD", 4000 * GIB, 512, "WDC WD40EFRX-68N32N0", "WD-WCC7K0000000"),
    DiskFacts("/dev/sdb", "usb-0781", 16 * GIB, 512, "Ultra", "4C530001", bus="usb", held_by="in use"),
)
CAST = CastNow(
    "c1",
    ClientState.RECEIVING,
    done=512 * MIB,
    total=GIB,
    multicast=500 * MIB,
    unicast=12 * MIB,
    repaired=3 * MIB,
    rate=64 * MIB,
    target="/dev/nvme0n1 (Samsung SSD 990 PRO 2TB)",
    image="windows-11-room-2",
    disks=(DiskNow("/dev/nvme0n1", 512 * MIB, GIB, 64 * MIB),),
)
READY = Model(
    "0.1",
    phase=Phase.READY,
    machine=Machine("u", "Lenovo", "M70q", "PF3", firmware="uefi", secure_boot=True, memory=8 * GIB),
    nics=(
        Nic("enp1s0", "52:54:00:00:00:02"),
        Nic("eno1", "52:54:00:00:00:01", speed=1000, link=True, addresses=("192.0.2.10/24",)),
    ),
    disks=DISKS,
    server_url="https://192.0.2.1:8443",
    server_name="shop",
    server_words="acid-barn-cake-deer",
    client="m1f2e3d4c",
    messages=tuple(f"{n + 12:9}.00 event number {n}" for n in range(40)),
    keys=hotkeys.legend(shells=True),
    now=100.0,
)
CASTING = dataclasses.replace(READY, phase=Phase.CASTING, cast=CAST)
_CUT = dataclasses.replace(CAST, rate=0, disks=(dataclasses.replace(CAST.disks[0], rate=0),))
AGAIN = dataclasses.replace(
    CASTING,
    phase=Phase.FAILED,
    cast=_CUT,
    problem="/dev/nvme0n1: writing 1048576 bytes at 53687091200 failed: Input/output error",
    attempt=1,
    retry_at=118.0,
)
DONE = dataclasses.replace(
    CASTING,
    phase=Phase.DONE,
    cast=dataclasses.replace(
        CAST,
        state=ClientState.DONE,
        done=GIB,
        rate=0,
        root="4be1" * 16,
        seconds=31,
        disks=(DiskNow("/dev/nvme0n1", GIB, GIB),),
    ),
)
MODELS = {
    "starting": Model("0.1"),
    "choosing": Model("0.1", phase=Phase.CHOOSING, choices=("one  https://a", "two  https://b")),
    "ready": READY,
    "casting": CASTING,
    "asked": dataclasses.replace(
        CASTING,
        question="The disk is being written. Enter: shut down, it stays incomplete. Esc: go on.",
        link_lost=True,
    ),
    "again": AGAIN,
    "failed": dataclasses.replace(
        AGAIN,
        cast=None,
        retry_at=0.0,
        problem="the image debian does not go there: " + "too small, " * 20,
    ),
    "done": dataclasses.replace(
        DONE, notice="fleetcast-logs-PF3-1.tar.gz is on the stick KINGSTON; it can be pulled out now."
    ),
    "off": dataclasses.replace(READY, phase=Phase.LEAVING, off=True),
}


def drawn(model: Model, width: int = screen.WIDTH, height: int = screen.HEIGHT) -> str:
    """The screen as a golden file holds it."""
    lines = screen.render(model, width, height)
    return "".join(
        f"{line.tone.upper() if line.solid else line.tone:<8} {line.text}".rstrip() + "\n"
        for line in lines
    )


def shown() -> dict[str, str]:
    """By the name of its file, each golden screen."""
    usual = {f"{name}.txt": drawn(model) for name, model in MODELS.items()}
    return usual | {"casting-wide.txt": drawn(CASTING, 160, 50)}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in shown().items():
        (FOLDER / name).write_text(text)
