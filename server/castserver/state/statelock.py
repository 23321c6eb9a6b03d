"""One server to a state directory: two over one database would fight."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from castcore.edge.image.store import require_space
from castcore.errors import DiskFailed, InUse

LOCK_FILE = "lock"


def hold_state(state: Path) -> int:
    """Make the directory ``state`` and hold it till what is returned is closed.

    Raises InUse, DiskFailed, NoSpace.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(state / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        require_space(error, state, "another state directory")
        raise DiskFailed(f"{state}: {error.strerror}", hint="give a directory we may write to") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise InUse(
            f"another server runs with the state in {state}",
            hint="stop it, or use another state directory",
        ) from None
    return handle
