"""Builds a client medium: an ISO or a raw stick image that starts the client, all of it in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from castcore.errors import Refused
from castcore.progress import Progress, ProgressCallback, silent

from castmedia.bootpart import FAT_PROGRAMS, BootPart, boot_part
from castmedia.grubconfig import CLIENT_ENTRIES
from castmedia.isoimage import PROGRAMS, iso_size, write_iso
from castmedia.output import check_file, require_room, whole_file
from castmedia.settingsoptions import Choices
from castmedia.stages import Options, Stages, check_host, stages
from castmedia.usbimage import usb_size, write_usb


class Format(StrEnum):
    """What the file is."""

    ISO = "iso"
    USB = "usb"


SUFFIXES = {".iso": Format.ISO, ".img": Format.USB, ".raw": Format.USB}


@dataclass(frozen=True, slots=True)
class Built:
    """A finished medium: ``loaded`` are the bytes that a machine reads from it into memory."""

    output: Path
    format: Format
    size: int
    loaded: int


def format_of(output: Path) -> Format:
    """The format that the name ``output`` asks for. Raises Refused."""
    found = SUFFIXES.get(output.suffix.lower())
    if found is None:
        raise Refused(
            f"{output.name} does not say what it shall be",
            hint="name it .iso or .img, or give --format",
        )
    return found


def build(
    output: Path,
    form: Format,
    options: Options,
    choices: Choices,
    *,
    words: str = "",
    say: Callable[[str], None] = lambda _: None,
    progress: ProgressCallback = silent,
) -> Built:
    """Make the file ``output``; ``words`` go to the kernel.

    Raises Refused (not root; no place for a file; words), MissingProgram naming all that is missing,
    BadSettings, NotFound, NetworkFailed, NoSpace, DiskFailed, and run.ProgramFailed.
    """
    check_host((*FAT_PROGRAMS, *PROGRAMS))
    check_file(output)
    with stages(options, say=say, progress=progress) as made:
        part = boot_part(made, choices, CLIENT_ENTRIES, words=words)
        say(f"writing {output}")
        with whole_file(output) as partial:
            _write(partial, form, part, made)
        return Built(output, form, output.stat().st_size, part.loaded_bytes)


@contextmanager
def passing(
    form: Format,
    options: Options,
    choices: Choices,
    *,
    words: str = "",
    say: Callable[[str], None] = lambda _: None,
    progress: ProgressCallback = silent,
) -> Iterator[Built]:
    """A medium that is there until the block is left, to be copied. Raises as :func:`build` does."""
    check_host((*FAT_PROGRAMS, *PROGRAMS))
    with stages(options, say=say, progress=progress) as made, made.scratch() as folder:
        part = boot_part(made, choices, CLIENT_ENTRIES, words=words)
        image = folder / f"client.{form}"
        _write(image, form, part, made)
        yield Built(image, form, image.stat().st_size, part.loaded_bytes)


def _write(partial: Path, form: Format, part: BootPart, made: Stages) -> None:
    size = usb_size(part) if form is Format.USB else iso_size(part)
    require_room(partial, size)
    made.progress(Progress("write", 0, size))
    if form is Format.USB:
        write_usb(partial, part)
    else:
        with made.scratch() as scratch:
            write_iso(partial, part, scratch, lambda line: made.progress(Progress("write", 0, 0, line)))
    made.progress(Progress("write", size, size))
