"""The server's own log: what it has to say, in files of its state directory that never grow large."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
from pathlib import Path

from castserver.logs.loglines import JsonLines, as_text

FOLDER = "logs"
FILE = "server.log"
MOST_BYTES = 1 << 20
KEPT_FILES = 4


def keep_log(state: Path, most: int = MOST_BYTES) -> logging.Handler:
    """From now on what is logged also goes to a file below ``state``, whose directory must be there.

    A file that would have more than ``most`` bytes is put aside, the oldest one of those is gone then.
    Returns what writes it: close it and take it from the root logger to end that.
    """
    folder = state / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        folder / FILE, maxBytes=most, backupCount=KEPT_FILES, encoding="utf-8", errors="replace"
    )
    handler.setFormatter(JsonLines())
    logging.getLogger().addHandler(handler)
    return handler


def own_logs(state: Path) -> dict[str, str]:
    """The log files below ``state``, by name; what cannot be read is left out."""
    found = {}
    for path in sorted((state / FOLDER).glob(f"{FILE}*")):
        with contextlib.suppress(OSError):
            found[path.name] = path.read_text(errors="replace")
    return found


def log_tail(state: Path, lines: int) -> list[str]:
    """The last ``lines`` of the server's log as text, the newest last; the file before makes them up."""
    found: list[str] = []
    for name in (FILE, f"{FILE}.1"):
        with contextlib.suppress(OSError):
            text = (state / FOLDER / name).read_text(errors="replace")
            # Not `splitlines`: there may be other ends of lines in a text.
            whole = [as_text(line) for line in text.rstrip("\n").split("\n")[-lines:] if line]
            found = "\n".join(whole).split("\n") + found if whole else found
        if len(found) >= lines:
            break
    return found[-lines:]
