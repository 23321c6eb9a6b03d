"""Two machines joined by a cable, and our programs run on either of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.net.namespaces import Cable, cable, connected, ip

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def two_machines(name: str, left: str, right: str) -> Iterator[Cable]:
    """A cable whose ends have these IPv4 addresses, in one network of 256."""
    with cable(name) as made:
        for space, address in ((made.left, left), (made.right, right)):
            ip("-n", space, "addr", "add", f"{address}/24", "brd", "+", "dev", made.wire)
            ip("-n", space, "link", "set", made.wire, "up")
        connected(made)
        yield made


def start(space: str, module: str, *words: object) -> subprocess.Popen[str]:
    """Start ``python -m module`` in a namespace; the caller ends it."""
    line = ["ip", "netns", "exec", space, sys.executable, "-m", module, *map(str, words)]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
