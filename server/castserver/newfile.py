"""A file that a command writes for people: it is there whole, or not at all, and replaces none."""

from __future__ import annotations

import os
from pathlib import Path

from castcore.edge.image.store import require_space
from castcore.errors import DiskFailed, Refused


def require_new(output: Path, option: str) -> None:
    """Return when nothing is at ``output``, which ``option`` named. Raises Refused."""
    if output.exists():
        raise Refused(f"{output} is there already", hint=f"give another {option}")


def write_new(output: Path, data: bytes, option: str) -> None:
    """Write the file ``output``. Raises NoSpace, DiskFailed."""
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(output)
        folder = os.open(output.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        part.unlink(missing_ok=True)
        require_space(error, output.parent, f"another {option}")
        raise DiskFailed(f"{output}: {error.strerror}") from None
