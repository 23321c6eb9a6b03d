"""Console keymaps of Debian's ``console-data``, as the binary form that busybox's loadkmap takes."""

from __future__ import annotations

import difflib
from pathlib import Path

from castcore.edge import run
from castcore.errors import NotFound

FOLDER = "usr/share/keymaps/i386"
SUFFIX = ".kmap.gz"
# The first bytes of a binary keymap (busybox console-tools/loadkmap.c).
MAGIC = b"bkeymap"
# A flag for each of 256 tables, then the tables: 128 keys of two bytes each.
LEAST_BYTES = len(MAGIC) + 256 + 256
SECONDS = 60


def names(debian: Path) -> tuple[str, ...]:
    """The keymaps that the root ``debian`` has, sorted."""
    folders = (f for f in (debian / FOLDER).iterdir() if f.name != "include")
    return tuple(sorted(p.name.removesuffix(SUFFIX) for f in folders for p in f.glob(f"*{SUFFIX}")))


def binary(debian: Path, name: str) -> bytes:
    """The keymap ``name``, compiled by the root's own loadkeys. Raises NotFound, run.ProgramFailed."""
    known = names(debian)
    if name not in known:
        near = difflib.get_close_matches(name, known, 5) or known[:8]
        raise NotFound(f"there is no keymap {name!r}", hint=f"there are {', '.join(near)} ...")
    command = ["chroot", str(debian), "loadkeys", "--quiet", "--bkeymap", "--unicode", name]
    made = run.run(command, timeout=SECONDS)
    # It may say nothing of what it could not read, and make an empty one.
    if not made.startswith(MAGIC) or len(made) < LEAST_BYTES:
        raise NotFound(f"loadkeys made nothing of the keymap {name!r}")
    return made
