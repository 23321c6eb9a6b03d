"""One virtual PC that boots from the network with a local disk behind it, and where that ended."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.vm import localdisk
from tests.vm.bootcapture import Capture, captured
from tests.vm.boottree import accel, tree
from tests.vm.machine import PC, Running, powered
from tests.vm.network import Network, inside

CLIENT = re.compile(r"fleetcast: state=\w+")
_ENDS = re.compile(f"{CLIENT.pattern}|{localdisk.BOOTED.pattern}|Kernel panic - not syncing")
_LOOK_SECONDS = 0.05


@dataclass
class BootingPC:
    """A PC that was powered on; ``ended``: when its console said its last word (system's clock)."""

    running: Running
    capture: Capture
    ended: float | None = None

    @property
    def end(self) -> str:
        """The last word: our client's first line or the local disk's; "" when neither came."""
        found = self.running.serial.search(_ENDS)
        return found[0] if found else ""

    @property
    def seconds(self) -> float | None:
        """Seconds from power-on to the end."""
        return self._since(self.running.powered_on_at)

    @property
    def since_request(self) -> float | None:
        """Seconds from its first DHCP packet to the end."""
        return self._since(self.capture.first_request())

    def _since(self, began: float | None) -> float | None:
        return None if began is None or self.ended is None else round(self.ended - began, 1)


@contextmanager
def booting(pc: PC, network: Network, folder: Path, bridge: str = "lan") -> Iterator[BootingPC]:
    """Power on ``pc`` on ``bridge``; it is off when the block is left, its capture and log stay."""
    port = network.add_port(f"tap{pc.number}", bridge)
    loaders = (tree() / "shimx64.efi", tree() / "grubx64.efi")
    disk = localdisk.local_disk(folder / f"{pc.name}.disk", *loaders)
    enter = inside(network.lan)
    try:
        with (
            captured(network, port, folder / f"{pc.name}.pcap") as capture,
            powered(pc, folder, disk, tap=port, inside=enter, accel=accel()) as running,
        ):
            yield BootingPC(running, capture)
    finally:
        disk.unlink()
        (folder / f"{pc.name}.vars.fd").unlink(missing_ok=True)


def wait_for_ends(pcs: Sequence[BootingPC], patience: float) -> None:
    """Wait until each PC has come to an end or is off, at most ``patience`` seconds.

    A PC that has ended is switched off: the others need the processor.
    """
    waiting, last = list(pcs), time.monotonic() + patience
    while waiting and time.monotonic() < last:
        for pc in tuple(waiting):
            if off := not pc.running.is_on:
                pc.running.power_off()  # until all it said was read
            if pc.end:
                pc.ended = time.time()
            if pc.end or off:
                pc.running.power_off()
                waiting.remove(pc)
        time.sleep(_LOOK_SECONDS)
