"""Images that an operator has machines boot once: what kind an image is, and what can boot it.

El Torito 1.0 (bootable ISO 9660), UEFI 2.10 section 24.7.2 (media types of RAM disks).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from castcore.errors import BadImage, Refused

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
SECTOR = 512
_ISO_SECTOR = 2048
# The primary volume descriptor stands in sector 16, El Torito's boot record in sector 17.
_ISO_MARK = b"CD001"
_EL_TORITO = b"EL TORITO SPECIFICATION"
HEAD_BYTES = 18 * _ISO_SECTOR
_BOOT_MARK = b"\x55\xaa"
# 160 KB to 2.88 MB, Microsoft's 1.68 MB among them.
FLOPPY_SIZES = frozenset(n * 1024 for n in (160, 180, 320, 360, 720, 1200, 1440, 1680, 1722, 2880))


class ImageForm(StrEnum):
    """What a boot image is a copy of."""

    ISO = "iso"
    DISK = "disk"
    FLOPPY = "floppy"

    @property
    def media_type(self) -> str:
        """The Content-Type by which UEFI firmware knows what to make of it."""
        return {
            ImageForm.ISO: "application/vnd.efi-iso",
            ImageForm.DISK: "application/vnd.efi-img",
            ImageForm.FLOPPY: "application/octet-stream",
        }[self]

    @property
    def bios_drive(self) -> int:
        """The BIOS drive number that iPXE gives it."""
        return 0x00 if self is ImageForm.FLOPPY else 0x80


@dataclass(frozen=True)
class BootImage:
    """A stored boot image; ``size`` in bytes, ``changed`` is its file's time in nanoseconds."""

    name: str
    size: int
    changed: int
    form: ImageForm


def form_of(name: str, head: bytes, size: int) -> ImageForm:
    """What the image called ``name`` is, by its first ``HEAD_BYTES`` and its size. Raises BadImage."""
    volume = head[16 * _ISO_SECTOR + 1 :]
    if volume.startswith(_ISO_MARK):
        record = head[17 * _ISO_SECTOR :]
        if record[1:6] != _ISO_MARK or not record[7:].startswith(_EL_TORITO):
            raise BadImage(
                f"{name} is an ISO image that nothing boots from (it has no El Torito boot record)",
                hint="take the bootable edition of it",
            )
        return ImageForm.ISO
    if head[SECTOR - 2 : SECTOR] != _BOOT_MARK:
        raise BadImage(
            f"{name} is no boot image: neither a bootable ISO nor a disk or floppy with a boot sector",
            hint="unpack it if it is packed (.gz, .zip)",
        )
    return ImageForm.FLOPPY if size in FLOPPY_SIZES else ImageForm.DISK


def checked_name(name: str) -> str:
    """``name`` if a boot image may be called so. Raises Refused."""
    if not NAME.fullmatch(name):
        raise Refused(
            f"{name[:100]!r} cannot be a boot image's name",
            hint="use letters, digits, '.', '_', '+' and '-', at most 100, a letter or digit first",
        )
    return name


def uefi_refusal(image: BootImage) -> str:
    """Why a UEFI machine cannot boot ``image``, in a sentence; "" when it may."""
    if image.form is ImageForm.FLOPPY:
        return f"{image.name} is a floppy image, and UEFI firmware boots no floppies: only BIOS does"
    return ""
