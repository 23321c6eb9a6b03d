"""Boot media of virtual PCs: a file as a CD, as a USB stick that can be pulled out, as a disk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

STICK = "stick"


class Attach(StrEnum):
    """How a medium is plugged in."""

    CD = "cd"
    STICK = "stick"
    DISK = "disk"


# What the machine writes to the medium is dropped: the file stays as it was built.
_DRIVE = "if=none,id=medium,format=raw,snapshot=on"
_DEVICES = {
    Attach.CD: [
        "-device",
        "ahci,id=optical",
        "-device",
        "ide-cd,bus=optical.0,drive=medium,bootindex=1",
    ],
    Attach.STICK: [
        "-device",
        "qemu-xhci,id=usb",
        "-device",
        f"usb-storage,id={STICK},bus=usb.0,drive=medium,removable=on,serial=STICK0001,bootindex=1",
    ],
    Attach.DISK: ["-device", "virtio-blk-pci,drive=medium,serial=MEDIUM,bootindex=1"],
}


@dataclass(frozen=True)
class Medium:
    """The file ``image``, booted before anything else."""

    image: Path
    attach: Attach

    def arguments(self) -> list[str]:
        """QEMU's arguments for it."""
        drive = f"{_DRIVE},file={self.image}"
        if self.attach is Attach.CD:
            drive = f"if=none,id=medium,format=raw,readonly=on,media=cdrom,file={self.image}"
        return ["-drive", drive, *_DEVICES[self.attach]]
