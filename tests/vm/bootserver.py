"""Our boot services in the lab as an operator starts them: ``fleetcast pxe``, or a whole ``serve``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.boot import BootDecision
from castcore.control import Machine, Nic, Registration
from castcore.edge import run

from tests.vm.boottree import tree
from tests.vm.labserver import FLEETCAST, lab_server
from tests.vm.machine import PC
from tests.vm.network import SERVER_INTERFACE, Network, inside

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
    mode: Sequence[str],
    decision: BootDecision,
    more: Sequence[str] = (),
) -> Iterator[BootServer]:
    """The services alone, on one interface, until the block is left; ``mode`` as it is given to them.

    Raises ProgramFailed.
    """
    log = folder / f"{SERVER_INTERFACE}.log"
    command = [*FLEETCAST, "pxe", "--interface", SERVER_INTERFACE, "--boot-tree", str(tree())]
    command += ["--boot-mode", *mode, "--decision", decision, "--server-key", _KEY]
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


@contextmanager
def whole_server(
    network: Network,
    folder: Path,
    *,
    modes: Mapping[str, str],
    decision: BootDecision,
    pcs: Sequence[PC],
    more: Sequence[str] = (),
) -> Iterator[BootServer]:
    """One ``fleetcast serve`` on several interfaces, each in its mode, until the block is left.

    For the local disk it has met the ``pcs`` before, and the operator said so. Raises FleetcastError.
    """
    images = folder / "images"
    images.mkdir()
    options = ["--extra-cmdline", CONSOLE, *more]
    with lab_server(network, folder, images=images, tree=tree(), modes=modes, options=options) as server:
        if decision is BootDecision.LOCAL:
            for pc in pcs:
                client = server.register(registration(pc))
                server.post(f"/clients/{client}/boot-disk")
        yield BootServer(server.log)


def registration(pc: PC) -> Registration:
    """What our client would say on ``pc``."""
    machine = Machine(pc.uuid, firmware="uefi" if pc.firmware.is_uefi else "bios")
    return Registration(machine, (Nic("eth0", pc.mac),), (), "")
