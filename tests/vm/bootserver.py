"""``fleetcast pxe`` on one interface of the lab's server, as an operator starts it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.boot import BootDecision, InterfaceMode
from castcore.edge import run

from tests.vm.boottree import tree
from tests.vm.labserver import FLEETCAST
from tests.vm.network import Network, inside

# The kernel's and the client's words go where a serial log can read them.
CONSOLE = "console=tty0 console=ttyS0"
# No server of ours runs beside: the client comes up, trusts this key, and looks for it in vain.
_KEY = "5a" * 32
_START_SECONDS = 30.0


@dataclass(frozen=True)
class BootServer:
    """A running one; ``log`` has a line for every step of every machine."""

    log: Path

    def told_of(self, mac: str) -> list[str]:
        """What it has told of the machine so far: ``stage detail``."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [" ".join(line.split()[2:]) for line in lines if line.startswith(f"boot  {mac}")]


@contextmanager
def boot_server(
    network: Network,
    folder: Path,
    *,
    interface: str,
    mode: InterfaceMode,
    decision: BootDecision,
    more: Sequence[str] = (),
) -> Iterator[BootServer]:
    """The services on ``interface`` until the block is left. Raises ProgramFailed."""
    log = folder / f"{interface}.log"
    command = [*FLEETCAST, "pxe", "--interface", interface, "--boot-tree", str(tree())]
    command += ["--boot-mode", mode, "--decision", decision, "--server-key", _KEY]
    command += ["--extra-cmdline", CONSOLE, *more]
    with (
        log.open("wb") as said,
        run.started([*inside(network.server), *command], stdout=said, merged=True) as process,
    ):
        end = time.monotonic() + _START_SECONDS
        while b"Serving network boots" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > end:
                raise run.ProgramFailed(f"`fleetcast pxe` did not come up: see {log}")
            time.sleep(0.1)
        yield BootServer(log)
