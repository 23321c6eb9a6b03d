"""Simulated PXE machines for the boot storm: each a thread in a namespace of its own, with real sockets.

``python -m tests.bench.bootclient FIRST COUNT PREFIX FILES`` prints ``ready``, waits for a line, boots
them all at once and prints a line of JSON for each. A machine does what OVMF, shim and GRUB do: DISCOVER
until an address and a boot file are offered, REQUEST, the boot server's port, the size of each file and
then the file by TFTP, the rest by HTTP. FILES names each file's BLAKE3 hash: other bytes fail.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3
from castcore.edge import run

from tests.net.namespaces import inside
from tests.support.dhcpwitness import ACK, ANY, NAK, Message, taken_apart
from tests.support.goodclient import as_machine, ovmf

WIRE = "wire0"
# PXE 2.1 section 2.2.1: how long each DISCOVER is waited for.
DISCOVER_SECONDS = (4, 8, 16, 32)
TFTP_SECONDS, TFTP_TRIES = 2.0, 15
HTTP_SECONDS = 60.0
PIECE = 1 << 18
FIRST_FILES = ("shimx64.efi", "grubx64.efi", "grub/grub.cfg")
PAYLOAD = ("boot/vmlinuz", "boot/trust.cpio", "boot/initrd.img")


def mac_of(number: int) -> bytes:
    """The machine's MAC; its last byte is a multiple of 3, so the policy boots it."""
    return bytes((0x52, 0x54, 0, 0xBB, number // 85, 3 * (number % 85)))


@dataclass
class Machine:
    """One boot, and what it took."""

    number: int
    hashes: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    again: dict[str, int] = field(default_factory=lambda: {"dhcp": 0, "tftp": 0})
    address: str = ""
    error: str = ""

    def boot(self, go: threading.Event) -> None:
        """All of it, from the moment ``go`` is set."""
        run.run(["ip", "link", "set", WIRE, "up"], timeout=60)
        go.wait()
        begun = time.monotonic()
        try:
            server = self._dhcp()
            self.seconds["dhcp"] = time.monotonic() - begun
            for name in FIRST_FILES:
                self._check(name, self._tftp(server, name))
            self.seconds["tftp"] = time.monotonic() - begun
            self._http(server)
            self.seconds["whole"] = time.monotonic() - begun
        except (OSError, AssertionError, http.client.HTTPException, run.ProgramFailed) as error:
            self.error = repr(error)

    def _dhcp(self) -> str:
        """Take an address; the boot server's."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, WIRE.encode())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.bind(("", 68))
            boot = self._lease(sock)
            for seconds in DISCOVER_SECONDS:
                self._send(sock, 3, (boot.siaddr, 4011), b"")
                if self._hear(sock, seconds, lambda m: m.kind == ACK and m.siaddr == boot.siaddr):
                    return boot.siaddr
                self.again["dhcp"] += 1
        raise AssertionError("no answer of the boot server")

    def _lease(self, sock: socket.socket) -> Message:
        """Take and use the address of an offer; the offer with the boot file."""
        for seconds in DISCOVER_SECONDS:
            lease, boot = self._discover(sock)
            wanted = socket.inet_aton(lease.yiaddr)
            chosen = b"\x32\x04" + wanted + b"\x36\x04" + lease.options[54]
            self._send(sock, 3, ("255.255.255.255", 67), chosen)
            granted = self._hear(sock, seconds, lambda m: m.kind in (ACK, NAK))
            if granted and granted[0].kind == ACK:
                mask = sum(byte.bit_count() for byte in granted[0].options[1])
                run.run(["ip", "addr", "add", f"{lease.yiaddr}/{mask}", "dev", WIRE], timeout=60)
                self.address = lease.yiaddr
                return boot
            # dnsmasq offers one address to several at once and refuses all but one: ask anew.
            self.again["dhcp"] += 1
        raise AssertionError("no lease")

    def _discover(self, sock: socket.socket) -> tuple[Message, Message]:
        """An offer with an address and one with a boot file; the same one may have both."""
        leases: list[Message] = []
        boots: list[Message] = []
        for seconds in DISCOVER_SECONDS:
            self._send(sock, 1, ("255.255.255.255", 67), b"")
            end = time.monotonic() + seconds
            while not (leases and boots) and time.monotonic() < end:
                heard = self._hear(sock, end - time.monotonic(), lambda _: True)
                leases += [m for m in heard if m.yiaddr != ANY]
                boots += [m for m in heard if m.file.rstrip(b"\0") == FIRST_FILES[0].encode()]
            if leases and boots:
                return leases[0], boots[0]
            self.again["dhcp"] += 1
        raise AssertionError(f"offers: {len(leases)} of an address, {len(boots)} of a boot file")

    def _send(self, sock: socket.socket, kind: int, to: tuple[str, int], more: bytes) -> None:
        data = as_machine(ovmf(), mac_of(self.number))
        data = data[:4] + (self.number + 1).to_bytes(4, "big") + data[8:]
        sock.sendto(data.replace(b"\x35\x01\x01", b"\x35\x01" + bytes((kind,)) + more, 1), to)

    def _hear(self, sock: socket.socket, seconds: float, wanted: Any) -> list[Message]:
        """The first answer to this machine that is ``wanted``, if one comes in time."""
        end, mac = time.monotonic() + seconds, mac_of(self.number)
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                data = sock.recv(2000)
            except TimeoutError:
                break
            # Everybody's answers are broadcast.
            if data[28:34] == mac and wanted(message := taken_apart(data)):
                return [message]
        return []

    def _tftp(self, server: str, name: str) -> bytes:
        """Ask for the size and end that, as OVMF does; then the file."""
        asked = b"\0\1" + name.encode() + b"\0octet\0tsize\x000\0"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            answer, transfer = self._exchange(sock, asked, (server, 69))
            assert answer[:2] == b"\0\6", answer
            sock.sendto(b"\0\5\0\x08\0", transfer)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            answer, transfer = self._exchange(sock, asked + b"blksize\x001468\0", (server, 69))
            sock.connect(transfer)
            got: list[bytes] = []
            while True:
                acknowledged = b"\0\4" + (len(got) & 0xFFFF).to_bytes(2, "big")
                wanted = b"\0\3" + ((len(got) + 1) & 0xFFFF).to_bytes(2, "big")
                while answer[:4] != wanted:
                    answer, _ = self._exchange(sock, acknowledged, None)
                got.append(answer[4:])
                if len(answer) < 1472:
                    sock.send(b"\0\4" + wanted[2:])
                    return b"".join(got)

    def _exchange(
        self, sock: socket.socket, data: bytes, to: tuple[str, int] | None
    ) -> tuple[bytes, tuple[str, int]]:
        sock.settimeout(TFTP_SECONDS)
        for _ in range(TFTP_TRIES):
            if to is None:
                sock.send(data)
            else:
                sock.sendto(data, to)
            try:
                return sock.recvfrom(2000)
            except TimeoutError:
                self.again["tftp"] += 1
        raise TimeoutError("TFTP: no answer")

    def _http(self, server: str) -> None:
        for name in PAYLOAD:
            connection = http.client.HTTPConnection(server, 8080, timeout=HTTP_SECONDS)
            connection.request("GET", f"/{name}")
            answer, hashed, piece = connection.getresponse(), blake3(), memoryview(bytearray(PIECE))
            assert answer.status == 200, f"{name}: HTTP {answer.status}"
            while count := answer.readinto(piece):
                hashed.update(piece[:count])
            connection.close()
            assert hashed.hexdigest() == self.hashes[name], f"{name}: other bytes"

    def _check(self, name: str, data: bytes) -> None:
        assert blake3(data).hexdigest() == self.hashes[name], f"{name}: other bytes"


def main() -> None:
    """Boot ``COUNT`` machines from number ``FIRST`` on, in the namespaces ``PREFIX`` and number."""
    first, count, prefix = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    machines = [Machine(n, json.loads(sys.argv[4])) for n in range(first, first + count)]
    go, threads = threading.Event(), []
    for machine in machines:
        work = threading.Thread(target=_in_its_room, args=(machine, f"{prefix}{machine.number}", go))
        work.start()
        threads.append(work)
    print("ready", flush=True)
    sys.stdin.readline()
    go.set()
    for machine, thread in zip(machines, threads, strict=True):
        thread.join()
        told = {"seconds": machine.seconds, "again": machine.again, "address": machine.address}
        print(json.dumps(told | {"error": machine.error}), flush=True)


def _in_its_room(machine: Machine, space: str, go: threading.Event) -> None:
    try:
        inside(space, lambda: machine.boot(go), timeout=900)
    except (OSError, AssertionError) as error:
        machine.error = repr(error)


if __name__ == "__main__":
    main()
