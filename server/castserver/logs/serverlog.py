"""The server's own log: what it has to say, in files of its state directory that never grow large."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import time
from pathlib import Path

FOLDER = "logs"
FILE = "server.log"
MOST_BYTES = 1 << 20
KEPT_FILES = 4


def keep_log(state: Path) -> None:
    """From now on what is logged also goes to a file below ``state``, whose directory must be there."""
    folder = state / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        folder / FILE, maxBytes=MOST_BYTES, backupCount=KEPT_FILES, encoding="utf-8", errors="replace"
    )
    shape = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    shape.converter = time.gmtime
    handler.setFormatter(shape)
    logging.getLogger().addHandler(handler)


def own_logs(state: Path) -> dict[str, str]:
    """The log files below ``state``, by name; what cannot be read is left out."""
    found = {}
    for path in sorted((state / FOLDER).glob(f"{FILE}*")):
        with contextlib.suppress(OSError):
            found[path.name] = path.read_text(errors="replace")
    return found


def log_tail(state: Path, lines: int) -> list[str]:
    """The last ``lines`` of the server's log, the newest last; the file before it makes them up."""
    found: list[str] = []
    for name in (FILE, f"{FILE}.1"):
        with contextlib.suppress(OSError):
            text = (state / FOLDER / name).read_text(errors="replace")
            found = text.splitlines() + found
        if len(found) >= lines:
            break
    return found[-lines:]
