"""A switch of our own: a bridge in one namespace, the sender and each receiver in one of theirs.

MTU-size packets really cross it: the sender's segmentation offload is off, so its bursts are cut at
its cable, and receivers coalesce again. Loss is per receiver, of single packets, by nftables.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from castcore.edge import run

from tests.net.namespaces import carries, ip

ROOT = Path(__file__).resolve().parents[2]
SEEDED = (sys.executable, "-m", "tests.support.castpeer")
# This checkout's programs, wherever the environment's own packages come from.
PACKAGES = ("core", "client", "server", "media-builder", ".")
ENVIRONMENT = {
    "HOME": str(ROOT / "build"),
    "PYTHONPATH": os.pathsep.join(str(ROOT / package) for package in PACKAGES),
}
WIRE = "wire0"
SNOOPING_SECONDS = 1.5
_SECONDS = 20.0


@dataclass
class Peer:
    """A running :mod:`tests.support.castpeer`; ``events`` are the JSON lines it has printed."""

    process: subprocess.Popen[bytes]
    events: list[dict[str, Any]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    reader: threading.Thread | None = None

    def result(self, timeout: float) -> dict[str, Any]:
        """Its last event, when it has ended well."""
        self.process.wait(timeout)
        assert self.reader is not None
        self.reader.join(5)
        assert self.process.returncode == 0, "\n".join(self.other)
        return self.events[-1]

    def until(self, wanted: Callable[[dict[str, Any]], bool], timeout: float) -> dict[str, Any]:
        """The first event, past or to come, for which ``wanted`` holds."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            ended = self.process.poll() is not None
            if ended and self.reader is not None:
                self.reader.join(5)
            for event in list(self.events):
                if wanted(event):
                    return event
            if ended:
                break
            time.sleep(0.02)
        raise AssertionError(f"never happened; last {self.events[-1:]} {self.other[-5:]}")

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            text = line.decode(errors="replace").strip()
            try:
                self.events.append(json.loads(text))
            except ValueError:
                self.other.append(text)


class CastLab:
    """Namespaces ``hub``, ``s`` (10.9.0.1) and ``r0``... (10.9.0.10 and up)."""

    def __init__(self, name: str, receivers: int) -> None:
        self._prefix = f"fcc-{name}-{os.getpid()}"
        self.receivers = receivers
        self._stack = ExitStack()

    def space(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def build(self, *, whole_gso: bool) -> None:
        hub = self.space("hub")
        self._space(hub)
        ip("-n", hub, "link", "add", "br0", "type", "bridge")
        ip("-n", hub, "link", "set", "br0", "up")
        # A switch has no packet filter; where the host loaded br_netfilter, every bridge would.
        with suppress(run.ProgramFailed):
            self.inside("hub", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0")
        self._cable("s", "10.9.0.1/24")
        if not whole_gso:
            off = ["tso", "off", "gso", "off", "tx-udp-segmentation", "off"]
            self.inside("s", "ethtool", "-K", WIRE, *off)
        for number in range(self.receivers):
            self._cable(f"r{number}", f"10.9.0.{10 + number}/24")
            if not whole_gso:
                # A veth coalesces only where its peer does not hand over whole GSO packets.
                self.inside("hub", "ethtool", "-K", f"r{number}", "tso", "off", "gso", "off")
                self.inside(f"r{number}", "ethtool", "-K", WIRE, "gro", "on")

    def inside(self, space: str, *command: str) -> None:
        run.run(["ip", "netns", "exec", self.space(space), *command], timeout=_SECONDS)

    def lose(self, receiver: int, per_mille: int) -> None:
        """Drop so many of 1000 packets on their way to ``receiver``."""
        self._filter(receiver, f"ip protocol udp numgen random mod 1000 < {per_mille} drop")

    def lose_ipv6(self, receiver: int, per_mille: int) -> None:
        """The same for IPv6 alone."""
        self._filter(receiver, f"ip6 nexthdr udp numgen random mod 1000 < {per_mille} drop")

    def snoop(self) -> None:
        """Be a switch that sends multicast only where it was asked for (IGMP snooping with a querier).

        Its ports lead to one host each: who leaves a group is spared it at once (fast leave). A bridge
        trusts its snooping only once its querier has given hosts time to answer: here 1 s.
        """
        bridge = ["link", "set", "br0", "type", "bridge"]
        ip("-n", self.space("hub"), *bridge, "mcast_query_response_interval", "100")
        ip("-n", self.space("hub"), *bridge, "mcast_querier", "1")
        for port in self._ends():
            fast = ["link", "set", port, "type", "bridge_slave", "mcast_fast_leave", "on"]
            ip("-n", self.space("hub"), *fast)
        time.sleep(SNOOPING_SECONDS)

    def deafen(self, receiver: int) -> None:
        """No multicast reaches ``receiver``."""
        self._filter(receiver, "ip daddr 224.0.0.0/4 drop")

    def with_ipv6(self) -> None:
        """Give everybody an address of fd09::/64 as well, at once."""
        for number, space in enumerate(self._ends()):
            self.inside(space, "ip", "addr", "add", f"fd09::{number + 1}/64", "dev", WIRE, "nodad")

    def with_jumbo(self, *but: str) -> None:
        """Let all cables carry jumbo frames, those of the receivers ``but`` apart."""
        for space in self._ends():
            if space not in but:
                self.inside(space, "ip", "link", "set", WIRE, "mtu", "9000")
                self.inside("hub", "ip", "link", "set", space, "mtu", "9000")

    def _ends(self) -> list[str]:
        return ["s", *(f"r{number}" for number in range(self.receivers))]

    def shape(self, space: str, mbits: int, *, queue: int) -> None:
        """Limit what leaves ``space`` (``s``: the sender; ``hub/rN``: towards a receiver).

        ``queue`` bytes wait before the link; the rest is dropped.
        """
        where, _, device = space.partition("/")
        tbf = ["tbf", "rate", f"{mbits}mbit", "burst", "128kb", "limit", str(queue)]
        self.inside(where, "tc", "qdisc", "replace", "dev", device or WIRE, "root", *tbf)

    def _filter(self, receiver: int, rule: str) -> None:
        # At the port alone: a chain of the bridge would be asked for every port of every packet.
        rules = f"""table netdev rules{receiver} {{
            chain c {{
                type filter hook egress device "r{receiver}" priority 0; policy accept;
                {rule}
            }}
        }}
        """
        command = ["ip", "netns", "exec", self.space("hub"), "nft", "-f", "-"]
        run.run(command, timeout=_SECONDS, data=rules.encode())

    def sender(self, *arguments: str) -> Peer:
        return self.start("s", *SEEDED, "send", "--interface", WIRE, *arguments)

    def receiver(self, number: int, *arguments: str) -> Peer:
        name = ["--name", f"pc{number}"]
        return self.start(f"r{number}", *SEEDED, "receive", "--interface", WIRE, *name, *arguments)

    def close(self) -> None:
        self._stack.close()

    def start(self, space: str, *program: str) -> Peer:
        """Start a program in a namespace; it ends with the lab at the latest."""
        command = ["ip", "netns", "exec", self.space(space), *program]
        process = self._stack.enter_context(
            run.started(command, cwd=ROOT, merged=True, extra_env=ENVIRONMENT)
        )
        peer = Peer(process)
        peer.reader = threading.Thread(target=peer.read, daemon=True)
        peer.reader.start()
        return peer

    def _space(self, name: str) -> None:
        ip("netns", "add", name)
        self._stack.callback(_forget, name)
        ip("-n", name, "link", "set", "lo", "up")

    def _cable(self, name: str, address: str) -> None:
        space, hub = self.space(name), self.space("hub")
        self._space(space)
        ip("-n", hub, "link", "add", name, "type", "veth", "peer", "name", WIRE, "netns", space)
        ip("-n", hub, "link", "set", name, "master", "br0", "up")
        ip("-n", space, "addr", "add", address, "brd", "+", "dev", WIRE)
        ip("-n", space, "link", "set", WIRE, "up")
        carries(hub, name)
        carries(space, WIRE)


@contextmanager
def cast_lab(
    name: str, receivers: int, *, whole_gso: bool = False, snooping: bool = False
) -> Iterator[CastLab]:
    """A lab with so many receivers, gone at the end with all it started.

    ``snooping``: see `CastLab.snoop`.
    """
    lab = CastLab(name, receivers)
    try:
        lab.build(whole_gso=whole_gso)
        if snooping:
            lab.snoop()
        yield lab
    finally:
        lab.close()


def _forget(space: str) -> None:
    with suppress(run.ProgramFailed):
        ip("netns", "delete", space)
