"""A server with an interface in each of two networks, and clients behind a switch in either or both.

The server's ends are ``nic0`` (10.6.0.1) and ``nic1`` (10.6.1.1), a client's ``wire0`` and ``wire1``.
MTU-size packets cross the switches, as in :mod:`tests.support.castlab`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from castcore.edge import run

from tests.net.namespaces import carries, ip
from tests.support.castlab import ENVIRONMENT, ROOT, Peer

_SECONDS = 20.0


class TwoNetworks:
    """Namespaces ``s`` (the server), ``hub0``, ``hub1``, and a client for each of ``clients``.

    Each of those says which of the two networks it is in: ``(0,)``, ``(1,)`` or ``(0, 1)``. Without
    ``ipv4`` everybody has link-local IPv6 addresses alone.
    """

    def __init__(self, name: str, clients: Sequence[Sequence[int]], *, ipv4: bool) -> None:
        self._prefix = f"fcn-{name}-{os.getpid()}"
        self._clients, self._ipv4 = clients, ipv4
        self._stack = ExitStack()

    def space(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def build(self) -> None:
        for name in ("s", "hub0", "hub1", *(f"c{n}" for n in range(len(self._clients)))):
            space = self.space(name)
            ip("netns", "add", space)
            self._stack.callback(_forget, space)
            ip("-n", space, "link", "set", "lo", "up")
        for net in (0, 1):
            hub = self.space(f"hub{net}")
            ip("-n", hub, "link", "add", "br0", "type", "bridge")
            ip("-n", hub, "link", "set", "br0", "up")
            with suppress(run.ProgramFailed):
                self.inside(f"hub{net}", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0")
            self._cable(net, "s", f"nic{net}", 1)
            self.inside("s", "ethtool", "-K", f"nic{net}", *_NO_SEGMENTS)
        for number, nets in enumerate(self._clients):
            for net in nets:
                self._cable(net, f"c{number}", f"wire{net}", 10 + number)
                self.inside(f"hub{net}", "ethtool", "-K", f"c{number}", *_NO_SEGMENTS[:4])

    def inside(self, space: str, *command: str) -> str:
        done = run.run(["ip", "netns", "exec", self.space(space), *command], timeout=_SECONDS)
        return done.decode()

    def lose(self, net: int, port: str, per_mille: int) -> None:
        """Drop so many of 1000 UDP packets that a switch sends to ``port`` (``s``, ``c0``...)."""
        rules = f"""table netdev rules {{
            chain c {{
                type filter hook egress device "{port}" priority 0; policy accept;
                ip protocol udp numgen random mod 1000 < {per_mille} drop
            }}
        }}
        """
        command = ["ip", "netns", "exec", self.space(f"hub{net}"), "nft", "-f", "-"]
        run.run(command, timeout=_SECONDS, data=rules.encode())

    def shape(self, net: int, port: str, mbits: int) -> None:
        """Limit what a switch sends to ``port``."""
        tbf = ["tbf", "rate", f"{mbits}mbit", "burst", "128kb", "limit", str(128 << 10)]
        self.inside(f"hub{net}", "tc", "qdisc", "replace", "dev", port, "root", *tbf)

    def start(self, space: str, *words: str) -> Peer:
        """Start ``python -m WORDS`` in a namespace; it ends with the networks at the latest."""
        command = ["ip", "netns", "exec", self.space(space), sys.executable, "-m", *words]
        process: subprocess.Popen[bytes] = self._stack.enter_context(
            run.started(command, cwd=ROOT, merged=True, extra_env=ENVIRONMENT)
        )
        peer = Peer(process)
        peer.reader = threading.Thread(target=peer.read, daemon=True)
        peer.reader.start()
        return peer

    def close(self) -> None:
        self._stack.close()

    def _cable(self, net: int, name: str, device: str, last: int) -> None:
        space, hub = self.space(name), self.space(f"hub{net}")
        ip("-n", hub, "link", "add", name, "type", "veth", "peer", "name", device, "netns", space)
        ip("-n", hub, "link", "set", name, "master", "br0", "up")
        if self._ipv4:
            ip("-n", space, "addr", "add", f"10.6.{net}.{last}/24", "brd", "+", "dev", device)
        else:
            # At once, as after the second in which a kernel looks for others with the same address.
            ip("-n", space, "link", "set", device, "addrgenmode", "none")
            link_local = f"fe80::{net + 1}:{last}/64"
            ip("-n", space, "addr", "add", link_local, "dev", device, "nodad")
        ip("-n", space, "link", "set", device, "up")
        carries(hub, name)
        carries(space, device)


_NO_SEGMENTS = ("tso", "off", "gso", "off", "tx-udp-segmentation", "off")


@contextmanager
def two_networks(
    name: str, clients: Sequence[Sequence[int]], *, ipv4: bool = True
) -> Iterator[TwoNetworks]:
    """Both networks, gone at the end with all that was started in them."""
    made = TwoNetworks(name, clients, ipv4=ipv4)
    try:
        made.build()
        yield made
    finally:
        made.close()


def serve_words(folder: Path, *more: str) -> tuple[str, ...]:
    """``castserver serve`` over the images in ``folder``/images, on both interfaces."""
    where = ("--state", str(folder / "state"), "--images", str(folder / "images"))
    both = ("--interface", "nic0", "--interface", "nic1")
    return ("castserver", "serve", "--json", *where, *both, *more)


def _forget(space: str) -> None:
    with suppress(run.ProgramFailed):
        ip("netns", "delete", space)
