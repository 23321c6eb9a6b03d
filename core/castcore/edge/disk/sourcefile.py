"""What a capture's SOURCE is, and a raw view of it.

A virtual disk's file is converted by ``qemu-img`` into a sparse raw file beside the image being
written; the format is told from the file's own magic, never guessed by another program.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import count
from pathlib import Path

from castcore.edge import run
from castcore.edge.image.store import free_space
from castcore.errors import BadImage, DiskFailed, InUse, MissingProgram, NoSpace, NotFound, Refused
from castcore.progress import Progress, ProgressCallback, silent
from castcore.units import human

POLL_SECONDS = 0.3
BLOCK = 512  # st_blocks counts these, whatever the file system


class SourceFormat(StrEnum):
    """What a source is; the words are qemu-img's, but for the first."""

    DEVICE = "device"
    RAW = "raw"
    QCOW2 = "qcow2"
    VHDX = "vhdx"
    VMDK = "vmdk"
    VHD = "vpc"
    VDI = "vdi"


# (byte offset, magic, format); from the formats' own specifications.
_MAGIC = (
    (0, b"QFI\xfb", SourceFormat.QCOW2),
    (0, b"vhdxfile", SourceFormat.VHDX),
    (0, b"KDMV", SourceFormat.VMDK),
    (0, b"# Disk DescriptorFile", SourceFormat.VMDK),
    (0, b"conectix", SourceFormat.VHD),
    (64, b"\x7f\x10\xda\xbe", SourceFormat.VDI),
)


def source_format(path: Path) -> SourceFormat:
    """What ``path`` is. Raises NotFound, DiskFailed, or Refused for what is no disk at all."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISBLK(mode):
            return SourceFormat.DEVICE
        if not stat.S_ISREG(mode):
            raise Refused(f"{path} is neither a block device nor a file")
        with path.open("rb") as file:
            start = file.read(128)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"no such source: {path}", hint="`lsblk` shows this machine's disks") from None
    except OSError as error:
        raise DiskFailed(f"{path} cannot be read: {error.strerror}") from None
    for offset, magic, kind in _MAGIC:
        if start[offset : offset + len(magic)] == magic:
            return kind
    return SourceFormat.RAW


@contextmanager
def raw_view(
    path: Path, kind: SourceFormat, scratch: Path, progress: ProgressCallback = silent
) -> Iterator[Path]:
    """A path that reads as the raw disk; a virtual disk's is a file in ``scratch``, removed afterwards.

    Raises NoSpace, InUse (a virtual PC has it open), BadImage, MissingProgram or DiskFailed.
    """
    if kind in (SourceFormat.DEVICE, SourceFormat.RAW):
        yield path
        return
    # Several disks of one image may be converted into the same directory.
    raw = next(p for n in count() if not (p := scratch / f"source-{n}.raw").exists())
    try:
        _convert(path, kind, raw, progress)
        yield raw
    finally:
        raw.unlink(missing_ok=True)


def _convert(path: Path, kind: SourceFormat, raw: Path, progress: ProgressCallback) -> None:
    command = [
        "qemu-img",
        "convert",
        "-f",
        kind,
        "-O",
        "raw",
        "-S",
        "4k",
        str(path.absolute()),
        str(raw),
    ]
    try:
        with run.started(command) as process:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                progress(_converted(raw))
            said = process.stderr.read() if process.stderr else b""
    except MissingProgram as error:
        raise MissingProgram(error.what, hint="apt install qemu-utils") from None
    if process.returncode != 0:
        raise _failed(path, kind, raw, said.decode(errors="replace").strip())


def _converted(raw: Path) -> Progress:
    try:
        status = raw.stat()
    except OSError:
        return Progress("convert", 0, 0)
    return Progress("convert", status.st_blocks * BLOCK, 0, f"of a disk of {human(status.st_size)}")


def _failed(path: Path, kind: SourceFormat, raw: Path, said: str) -> Exception:
    last = said.splitlines()[-1].removeprefix("qemu-img: ") if said else "qemu-img said nothing"
    if "No space left" in said:
        free = free_space(raw.parent)
        return NoSpace(
            f"{raw.parent} is full: {human(free)} free, and {path} does not fit there as a raw disk",
            hint="choose another store, or convert it yourself with qemu-img",
        )
    if "lock" in said:
        return InUse(f"{path} is in use: {last}", hint="shut down the virtual PC that has it")
    return BadImage(f"{path} cannot be read as {kind}: {last}", hint="`qemu-img check` may repair it")
