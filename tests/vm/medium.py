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


_DRIVE = "if=none,id=medium,format=raw"
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
        f"usb-storage,id={STICK},bus=usb.0,drive=medium,removable=on,serial={{serial}},bootindex=1",
    ],
    Attach.DISK: ["-device", "virtio-blk-pci,drive=medium,serial=MEDIUM,bootindex=1"],
}


@dataclass(frozen=True)
class Medium:
    """The file ``image``, booted before anything else; ``serial`` is that of the stick.

    What the machine writes to it is dropped, unless ``keeps``: the file stays as it was built.
    """

    image: Path
    attach: Attach
    serial: str = "STICK0001"
    keeps: bool = False

    def arguments(self) -> list[str]:
        """QEMU's arguments for it."""
        drive = f"{_DRIVE},snapshot={'off' if self.keeps else 'on'},file={self.image}"
        if self.attach is Attach.CD:
            drive = f"if=none,id=medium,format=raw,readonly=on,media=cdrom,file={self.image}"
        return ["-drive", drive, *(word.format(serial=self.serial) for word in _DEVICES[self.attach])]
