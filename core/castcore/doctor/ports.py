"""The one table of ports and protocols that Fleetcast listens on; ``docs/network.md`` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """Who is spoken to."""

    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True)
class Port:
    """The ports ``first`` to ``last`` of a ``protocol`` (udp, tcp; igmp has none: 0), for one ``use``.

    ``setting``: the option that changes them, "" when none does. ``booting``: for network boots only.
    """

    protocol: str
    first: int
    last: int
    use: str
    side: Side = Side.SERVER
    setting: str = ""
    booting: bool = False

    @property
    def name(self) -> str:
        """``"UDP 7101-7499"``, ``"IGMP"``."""
        if not self.first:
            return self.protocol.upper()
        upto = f"-{self.last}" if self.last != self.first else ""
        return f"{self.protocol.upper()} {self.first}{upto}"


HTTP = Port("tcp", 8080, 8080, "kernel and boot image", setting="--http-port", booting=True)
HTTPS = Port("tcp", 8443, 8443, "console, API, clients, chunks by unicast", setting="--listen-https")

PORTS = (
    Port("udp", 67, 67, "DHCP, proxy DHCP", booting=True),
    Port("udp", 4011, 4011, "PXE boot server", booting=True),
    Port("udp", 69, 69, "TFTP: the first small boot files", booting=True),
    HTTP,
    HTTPS,
    Port("udp", 7070, 7070, "discovery"),
    Port("udp", 7101, 7499, "feedback of casts (odd ports)"),
    Port("igmp", 0, 0, "multicast membership"),
    Port("udp", 7100, 7498, "data and beacons of casts (even ports)", Side.CLIENT),
)


def server_ports(http: int = HTTP.first, https: int = HTTPS.first) -> tuple[Port, ...]:
    """What comes in at a server whose boot files are on ``http`` and whose console is on ``https``."""
    moved = {HTTP: http, HTTPS: https}
    return tuple(
        Port(p.protocol, moved[p], moved[p], p.use, p.side, p.setting, p.booting) if p in moved else p
        for p in PORTS
        if p.side is Side.SERVER
    )
