"""A server with the boot services in one namespace, a room of machines in another, a cable between.

Whatever address an answer is sent to, it reaches the room: its every packet can be seen there.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3
from castcore.edge import run

from tests.net.namespaces import Cable, cable, connected, ip
from tests.support.castlab import ENVIRONMENT, ROOT

SERVER, GOOD = "192.0.2.1", "192.0.2.200"
FUZZERS = [f"192.0.2.{n}" for n in range(60, 68)]
POOL = range(128, 255)
ROOM_MAC = "52:54:00:aa:00:01"
FILES = {
    b"shimx64.efi": random.Random(1).randbytes(90_000),
    # At 8 bytes a block it has more than 65535.
    b"grubx64.efi": random.Random(2).randbytes(530_001),
    b"undionly.kpxe": random.Random(3).randbytes(512 * 30),
}
ETH_P_IP, SO_RCVBUFFORCE = 0x0800, 33
SOL_PACKET, PACKET_STATISTICS = 263, 6
WITNESS_BUFFER = 32 << 20
_SECONDS = 20.0


@dataclass(frozen=True)
class Heard:
    """One UDP datagram of the server's, where it was sent."""

    data: bytes
    port: int
    to: tuple[str, int]


@dataclass
class BootRoom:
    """The cable, and the process that serves."""

    cable: Cable
    process: subprocess.Popen[bytes]

    def usage(self) -> dict[str, Any]:
        """What the service uses now (`tests.support.bootservice`); AssertionError when it is gone."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(b"?\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(self.last_words()) from None
        return self.line()

    def line(self) -> dict[str, Any]:
        """The next line that the service prints."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said, self.last_words()
        return dict(json.loads(said))

    def last_words(self) -> str:
        """Why the service ended."""
        assert self.process.stderr is not None
        return f"the service ended: {self.process.stderr.read().decode()[-2000:]}"

    def datagrams(self) -> dict[str, int]:
        """The UDP counters of the server's kernel (RFC 4113): InDatagrams, RcvbufErrors..."""
        said = run.run(
            ["ip", "netns", "exec", self.cable.left, "cat", "/proc/net/snmp"], timeout=_SECONDS
        )
        names, values = (row.split()[1:] for row in said.decode().splitlines() if row[:4] == "Udp:")
        return dict(zip(names, map(int, values), strict=True))


@contextmanager
def boot_room(name: str, mode: str, tree: Path) -> Iterator[BootRoom]:
    """Serve the boot ``tree`` in ``mode``; everything is gone at the end."""
    with cable(name) as wire:
        _addresses(wire)
        command = [sys.executable, "-m", "tests.support.bootservice", mode, wire.wire, SERVER, str(tree)]
        inside = ["ip", "netns", "exec", wire.left, *command]
        with run.started(inside, cwd=ROOT, extra_env=ENVIRONMENT, stdin=subprocess.PIPE) as process:
            room = BootRoom(wire, process)
            room.line()
            yield room


def make_tree(folder: Path) -> Path:
    """A boot tree with `FILES`."""
    shim, grub, ipxe = FILES.values()
    roles = {
        "kernel": bytes(100_000),
        "initrd": bytes(100_000),
        "shim": shim,
        "grub": grub,
        "ipxe": ipxe,
    }
    for role, data in roles.items():
        (folder / role).write_bytes(data)
    files = {r: {"name": r, "size": len(d), "blake3": blake3(d).hexdigest()} for r, d in roles.items()}
    (folder / "tree.json").write_text(json.dumps({"format": 1, "files": files}))
    return folder


def _addresses(wire: Cable) -> None:
    ip("-n", wire.left, "addr", "add", f"{SERVER}/24", "brd", "+", "dev", wire.wire)
    ip("-n", wire.right, "link", "set", wire.wire, "address", ROOM_MAC)
    for address in (GOOD, *FUZZERS):
        ip("-n", wire.right, "addr", "add", f"{address}/24", "brd", "+", "dev", wire.wire)
    for space in (wire.left, wire.right):
        ip("-n", space, "link", "set", wire.wire, "up")
    connected(wire)
    # Everybody's hardware address is known, everywhere else lies behind the room.
    rows = [
        f"neigh add 192.0.2.{n} lladdr {ROOM_MAC} dev {wire.wire} nud permanent" for n in range(2, 255)
    ]
    rows.append(f"route add default via {GOOD}")
    batch = ["ip", "-n", wire.left, "-batch", "-"]
    run.run(batch, timeout=_SECONDS, data="\n".join(rows).encode())


class Ear:
    """Hears every datagram of the server's that arrives in the room; open it inside the namespace."""

    def __init__(self, wire: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, WITNESS_BUFFER)
        self._socket.bind((wire, ETH_P_IP))
        self._server = socket.inet_aton(SERVER)

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()

    def listen(self, seconds: float) -> Iterator[Heard]:
        """What has arrived; waits for the first packet at most so long."""
        self._socket.settimeout(seconds)
        try:
            while True:
                heard = self._read(self._socket.recv(65535))
                self._socket.settimeout(0)
                if heard is not None:
                    yield heard
        except (TimeoutError, BlockingIOError):
            return

    def lost(self) -> int:
        """Packets that were not heard since the last question."""
        raw = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", raw)[1])

    def _read(self, packet: bytes) -> Heard | None:
        if packet[9] != socket.IPPROTO_UDP or packet[12:16] != self._server:
            return None
        assert packet[0] == 0x45, "IP options"
        assert not int.from_bytes(packet[6:8], "big") & 0x3FFF, "a fragment"
        source, to, length = struct.unpack_from("!HHH", packet, 20)
        return Heard(packet[28 : 20 + length], source, (socket.inet_ntoa(packet[16:20]), to))
