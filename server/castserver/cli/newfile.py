"""A new file of what a server answered: whole or not at all, and over no other."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from castcore.edge.image.store import sync_directory, writing_to
from castcore.errors import Refused

# What a file system without hard links says: FAT, some network mounts.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP)


def require_new(output: Path, option: str = "--output") -> None:
    """Raise Refused when there is a file already; ``option`` named it."""
    if os.path.lexists(output):
        raise _there_already(output, option)


def write(output: Path, data: bytes, option: str = "--output") -> None:
    """The file ``output`` with ``data``. Raises Refused (there is one), NoSpace, DiskFailed."""
    part = output.with_name(f".{output.name}.{secrets.token_hex(4)}.part")
    with writing_to(output.parent, f"another {option}"):
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _name(part, output)
        except FileExistsError:
            raise _there_already(output, option) from None
        finally:
            part.unlink(missing_ok=True)
        sync_directory(output.parent)


def _name(part: Path, output: Path) -> None:
    try:
        os.link(part, output)  # unlike a rename it takes nobody's place
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        output.open("xb").close()
        part.replace(output)


def _there_already(output: Path, option: str) -> Refused:
    return Refused(f"{output} is there already", hint=f"give another {option}")
