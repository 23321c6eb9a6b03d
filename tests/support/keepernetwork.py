"""A network made up for a boot keeper: who answers there, what is heard, and its clock."""

from __future__ import annotations

from collections.abc import Sequence

from castcore.boot import FoundServer, Hearsay, MessageType
from castcore.edge.net.nics import LinkState
from castcore.errors import Refused

SITE = FoundServer("10.0.0.9", "52:54:00:00:00:09", "")
RIVAL = FoundServer("10.0.0.8", "52:54:00:00:00:08", "", pxe=True, dhcp=False)


class Network:
    """The ear and the clock: ``answering`` answer a question at once; time passes by hearing."""

    def __init__(self) -> None:
        self.now, self.deaf = 1000.0, False
        self.answering: list[FoundServer] = []
        self.waiting: list[tuple[FoundServer, bool]] = []
        self.link, self.lease, self.asked, self.ears = LinkState.UP, "", 0, 0

    def ask(self, servers: Sequence[FoundServer] = (), *, pxe: bool = True) -> None:
        assert pxe
        assert set(servers) <= {SITE, RIVAL}
        self.asked += 1
        self.waiting += [(found, True) for found in self.answering]

    def hear(self, seconds: float) -> list[Hearsay]:
        self.now += 0.01 if self.waiting else seconds
        heard = [Hearsay(f, MessageType.OFFER, 1 if us else 2, "") for f, us in self.waiting]
        self.waiting = []
        return heard

    def asked_for(self, said: Hearsay) -> bool:
        return said.xid == 1

    def close(self) -> None:
        self.ears -= 1

    def open(self, interface: str) -> Network:
        assert interface == "eth1"
        if self.deaf:
            raise Refused("asking needs root")
        self.ears += 1
        return self
