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
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet
from scapy.utils import PcapReader

from tests.vm.network import Network, inside

# Kernel and initrds would be most of the file and tell nothing: of HTTP the requests are enough.
_FILTER = "not tcp src port 8080"
_START_SECONDS = 5.0
_REQUEST = 1
_GET = re.compile(rb"GET (\S+) HTTP")
_TFTP_PORT, _READ = 69, re.compile(rb"\x00\x01([^\x00]+)\x00")


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
        """The names it asked for by TFTP and by HTTP, in order."""
        with PcapReader(str(self.path)) as packets:
            asked = [_asked(p) for p in packets]
        return [name for name in asked if name]


def _asked(packet: Packet) -> str:
    """The name of the file that this packet asks for; "" when it asks for none."""
    if TCP in packet:
        found = _GET.match(bytes(packet[TCP].payload))
    elif UDP in packet and packet[UDP].dport == _TFTP_PORT:
        found = _READ.match(bytes(packet[UDP].payload))
    else:
        found = None
    return found[1].decode(errors="replace") if found else ""


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
