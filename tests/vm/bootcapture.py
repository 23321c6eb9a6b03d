"""What one PC's port saw of its network boot, as a packet capture, and when things happened in it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.edge import run
from scapy.layers.dhcp import BOOTP
from scapy.layers.inet import TCP
from scapy.utils import PcapReader

from tests.vm.network import Network, inside

# Kernel and initrds would be most of the file and tell nothing: of HTTP the requests are enough.
_FILTER = "not tcp src port 8080"
_START_SECONDS = 5.0
_REQUEST = 1
_GET = re.compile(rb"GET (\S+) HTTP")


@dataclass(frozen=True)
class Capture:
    """A running or finished capture."""

    path: Path

    def first_request(self) -> float | None:
        """When the PC's first DHCP packet passed, by the system's clock; None: it never did."""
        with PcapReader(str(self.path)) as packets:
            for packet in packets:
                if BOOTP in packet and packet[BOOTP].op == _REQUEST:
                    return float(packet.time)
        return None

    def fetched(self) -> list[str]:
        """The names it asked for by HTTP, in order."""
        with PcapReader(str(self.path)) as packets:
            payloads = [bytes(p[TCP].payload) for p in packets if TCP in p]
        found = map(_GET.match, payloads)
        return [match[1].decode() for match in found if match]


@contextmanager
def captured(network: Network, port: str, path: Path) -> Iterator[Capture]:
    """Capture what passes ``port`` into ``path`` until the block is left. Raises ProgramFailed."""
    path.unlink(missing_ok=True)
    command = [*inside(network.lan), "tcpdump", "-i", port, "-U", "-w", str(path), "-Z", "root", _FILTER]
    with (
        path.with_suffix(".log").open("wb") as said,
        run.started(command, stdout=said, merged=True) as process,
    ):
        end = time.monotonic() + _START_SECONDS
        # It writes the file's head when it listens.
        while not path.exists() or path.stat().st_size == 0:
            if process.poll() is not None or time.monotonic() > end:
                raise run.ProgramFailed(
                    f"tcpdump on {port} did not start: see {path.with_suffix('.log')}"
                )
            time.sleep(0.05)
        yield Capture(path)
