"""Hosts (network namespaces) and the cables between them, for tests that need more than two machines."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from castcore.edge import run

from tests.net.namespaces import carries, inside, ip

SECONDS = 20.0


class Hosts:
    """Hosts by their short names; made on first mention."""

    def __init__(self, name: str) -> None:
        self._prefix = f"fct-{name}-{os.getpid()}"
        self._made: list[str] = []

    def space(self, host: str) -> str:
        """The host's namespace."""
        space = f"{self._prefix}-{host}"
        if space not in self._made:
            ip("netns", "add", space)
            self._made.append(space)
            ip("-n", space, "link", "set", "lo", "up")
        return space

    def cable(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        """A cable between two (host, interface), both up."""
        (host, name), (there, far) = one, other
        peer = ["peer", "name", far, "netns", self.space(there)]
        ip("-n", self.space(host), "link", "add", name, "type", "veth", *peer)
        for end, interface in (one, other):
            ip("-n", self.space(end), "link", "set", interface, "up")
        for end, interface in (one, other):
            carries(self.space(end), interface)

    def switch(self, switch: str, *hosts: str) -> None:
        """A switch; each host is on it by its interface ``wire0``."""
        ip("-n", self.space(switch), "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        ip("-n", self.space(switch), "link", "set", "br0", "up")
        for host in hosts:
            self.cable((switch, f"to-{host}"), (host, "wire0"))
            ip("-n", self.space(switch), "link", "set", f"to-{host}", "master", "br0")

    def address(self, host: str, interface: str, address: str) -> None:
        """Give the interface an IPv4 address, as ``a.b.c.d/n``."""
        ip("-n", self.space(host), "addr", "add", address, "brd", "+", "dev", interface)

    def be(self, host: str, interface: str, mac: str) -> None:
        """Let the interface have this MAC address."""
        ip("-n", self.space(host), "link", "set", interface, "address", mac)

    def mac(self, host: str, interface: str) -> str:
        """The interface's MAC address."""
        shown = run.run(["ip", "-n", self.space(host), "-j", "link", "show", interface], timeout=SECONDS)
        return str(json.loads(shown)[0]["address"])

    def command(self, host: str, *words: str | Path) -> list[str]:
        """The command line that runs ``words`` on the host."""
        return ["ip", "netns", "exec", self.space(host), *map(str, words)]

    def run(self, host: str, *words: str | Path, ok: tuple[int, ...] = (0,)) -> str:
        """What a program prints on the host."""
        return run.run(self.command(host, *words), timeout=SECONDS, ok=ok).decode()

    def inside(self, host: str, work: Callable[[], Any]) -> Any:
        """What ``work`` returns in a thread that lives on the host."""
        return inside(self.space(host), work)

    def wait_for_udp(self, host: str, port: int) -> None:
        """Return when some program on the host holds the UDP port."""
        end = time.monotonic() + SECONDS
        while f":{port:04X} " not in self.run(host, "cat", "/proc/net/udp"):
            assert time.monotonic() < end, f"nobody took port {port}"
            time.sleep(0.05)

    def close(self) -> None:
        """Remove every host."""
        for space in self._made:
            with suppress(run.ProgramFailed):
                ip("netns", "delete", space)


@contextmanager
def hosts(name: str) -> Iterator[Hosts]:
    """Hosts of this process's own, gone at the end."""
    made = Hosts(name)
    try:
        yield made
    finally:
        made.close()
