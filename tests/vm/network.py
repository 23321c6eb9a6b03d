"""The lab's network: namespaces of our own, joined by a bridge that plays a managed switch.

    site (DHCP server of the site) ──┐
    server (fleetcast serve)     ────┤ bridge "lan" in its own namespace ├── tap pc1, pc2...

Nothing of the host's network is touched. The names of a run carry its process id; what a killed run
left behind is found by them and removed at the next start.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from castcore.edge import run

PREFIX = "fleetcast-lab"
SUBNET = "192.168.77"
SITE_ADDRESS = f"{SUBNET}.1"
SERVER_ADDRESS = f"{SUBNET}.2"
SITE_INTERFACE = "site0"
SERVER_INTERFACE = "cast0"
PROGRAMS = ("ip", "nft", "ethtool", "dnsmasq", "tcpdump")
_SECONDS = 20.0
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_OURS = re.compile(rf"^{PREFIX}-(?P<pid>\d+)-(lan|site|server|relay)\b", re.MULTILINE)


@dataclass(frozen=True)
class Network:
    """One lab: its three namespaces, by name."""

    lan: str
    site: str
    server: str

    def add_port(self, name: str, bridge: str = "lan") -> str:
        """A new tap on a bridge for one PC; returns the tap's name (at most 15 characters)."""
        _ip(self.lan, "tuntap", "add", "dev", name, "mode", "tap")
        # An emulated PC may wait a second for its turn of a busy processor; a real card would not.
        _ip(self.lan, "link", "set", "dev", name, "master", bridge, "txqueuelen", "10000", "up")
        return name

    def lose(self, port: str, per_mille: int) -> None:
        """Drop ``per_mille`` of 1000 packets on their way out of the bridge to ``port``.

        In the bridge's forward hook every packet is still a single one of at most one MTU: a rule in
        the receiver's own input hook would drop whole coalesced batches (GRO).
        """
        rules = (
            "table bridge loss {\n chain forward {\n  type filter hook forward priority 0;\n"
            f'  oifname "{port}" numgen random mod 1000 < {per_mille} counter drop\n }}\n}}\n'
        )
        run.run([*inside(self.lan), "nft", "-f", "-"], data=rules.encode(), timeout=_SECONDS)

    def lost(self) -> int:
        """Packets that :meth:`lose` has dropped so far."""
        said = run.run([*inside(self.lan), "nft", "list", "ruleset"], timeout=_SECONDS).decode()
        counted = re.search(r"counter packets (\d+)", said)
        return int(counted[1]) if counted else 0


def _ip(namespace: str, *arguments: str) -> None:
    run.run(["ip", "-n", namespace, *arguments], timeout=_SECONDS)


def inside(namespace: str) -> list[str]:
    """The command prefix that runs a program in ``namespace``."""
    return ["ip", "netns", "exec", namespace]


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """This thread's sockets are made in ``namespace`` until the block is left (setns(2))."""
    with open("/proc/thread-self/ns/net") as own, open(f"/run/netns/{namespace}") as other:
        _setns(other.fileno())
        try:
            yield
        finally:
            _setns(own.fileno())


def _setns(descriptor: int) -> None:
    # os.setns exists from Python 3.12 on.
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


@contextmanager
def built() -> Iterator[Network]:
    """This process's lab network until the block is left. Raises MissingProgram, ProgramFailed."""
    run.require(PROGRAMS, hint="run `make setup`")
    network = Network(*(f"{PREFIX}-{os.getpid()}-{part}" for part in ("lan", "site", "server")))
    try:
        _make(network)
        yield network
    finally:
        for namespace in (network.lan, network.site, network.server):
            remove(namespace)


def _make(network: Network) -> None:
    for namespace in (network.lan, network.site, network.server):
        run.run(["ip", "netns", "add", namespace], timeout=_SECONDS)
        _ip(namespace, "link", "set", "lo", "up")
    add_bridge(network, "lan")
    attach(network, network.site, SITE_INTERFACE, SITE_ADDRESS)
    attach(network, network.server, SERVER_INTERFACE, SERVER_ADDRESS)
    # Segmentation in the card would pass the bridge as one 64 KiB packet; no wire works so.
    offloads = ["tso", "off", "gso", "off", "tx-udp-segmentation", "off"]
    run.run(
        [*inside(network.server), "ethtool", "-K", SERVER_INTERFACE, *offloads],
        timeout=_SECONDS,
    )


def add_bridge(network: Network, name: str) -> None:
    """A bridge that plays a managed switch, in the lab's namespace for them.

    Multicast goes only to ports that asked (IGMP snooping), and someone asks who listens (the
    querier), without which snooping switches forget members.
    """
    snooping = ("mcast_snooping", "1", "mcast_querier", "1", "mcast_startup_query_interval", "100")
    _ip(network.lan, "link", "add", name, "type", "bridge", "forward_delay", "0", *snooping)
    _ip(network.lan, "link", "set", "dev", name, "up")


def attach(network: Network, namespace: str, interface: str, address: str, bridge: str = "lan") -> None:
    """Join ``namespace`` to a bridge by a veth pair; its end gets ``address``/24."""
    port = f"to-{interface}"
    peer = ("peer", "name", interface, "netns", namespace)
    _ip(network.lan, "link", "add", port, "type", "veth", *peer)
    _ip(network.lan, "link", "set", "dev", port, "master", bridge, "up")
    _ip(namespace, "address", "add", f"{address}/24", "brd", "+", "dev", interface)
    _ip(namespace, "link", "set", "dev", interface, "up")


def remove_stale(say: Callable[[str], None]) -> None:
    """Remove lab networks whose process is gone (killed runs)."""
    listed = run.run(["ip", "netns", "list"], timeout=_SECONDS).decode()
    for found in _OURS.finditer(listed):
        if not os.path.exists(f"/proc/{found['pid']}"):
            say(f"removing {found[0]}, left behind by a run that was killed")
            remove(found[0])


def remove(namespace: str) -> None:
    """Take down ``namespace`` with every program in it; nothing when it is not there."""
    with suppress(run.ProgramFailed):  # never made, or gone already
        for pid in run.run(["ip", "netns", "pids", namespace], timeout=_SECONDS).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        run.run(["ip", "netns", "delete", namespace], timeout=_SECONDS)
