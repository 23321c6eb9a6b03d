"""A result file: under its name it is there whole, or as it was before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from castcore.edge.image.store import writing_to
from castcore.errors import NoSpace, NotFound, Refused
from castcore.units import exactly

PARTIAL = ".partial"


def check_file(output: Path) -> None:
    """Return when ``output`` can become a file. Raises Refused for a device or folder, NotFound."""
    if output.exists() and not output.is_file():
        kind = "a folder" if output.is_dir() else "no regular file"
        raise Refused(f"{output} is {kind}", hint="give a file's name as --output")
    if not output.absolute().parent.is_dir():
        raise NotFound(f"there is no folder {output.absolute().parent}")


def require_room(output: Path, size: int) -> None:
    """Return when a new file of ``size`` bytes has room beside ``output``. Raises NoSpace."""
    free = shutil.disk_usage(output.absolute().parent).free
    if free < size:
        raise NoSpace(f"{output} needs {exactly(size)}, its file system has {exactly(free)} free")


@contextmanager
def whole_file(output: Path) -> Iterator[Path]:
    """The path to write to: it becomes ``output`` when the block ends well, synced, else it is removed.

    What a killed build left under that path is overwritten. Raises NoSpace, DiskFailed.
    """
    folder = output.absolute().parent
    partial = folder / f".{output.name}{PARTIAL}"
    with writing_to(output, "another --output"):
        partial.unlink(missing_ok=True)
        try:
            yield partial
            partial.chmod(0o644)
            _sync(partial)
            partial.rename(output)
            _sync(folder)
        finally:
            partial.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
