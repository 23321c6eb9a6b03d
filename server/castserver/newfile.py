"""A new file of what a server answered: whole or not at all, and over no other."""

from __future__ import annotations

import os
from pathlib import Path

from castcore.edge.image.store import require_space
from castcore.errors import DiskFailed, Refused


def require_new(output: Path, option: str = "--output") -> None:
    """Raise Refused when there is a file already; ``option`` named it."""
    if output.exists():
        raise Refused(f"{output} is there already", hint=f"give another {option}")


def write(output: Path, data: bytes, option: str = "--output") -> None:
    """The file ``output`` with ``data``. Raises NoSpace, DiskFailed."""
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
