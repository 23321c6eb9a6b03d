"""A machine that boots as it should, again and again, while others do not behave."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections import Counter

from tftpy import TftpClient

from tests.support.bootroom import FILES, GOOD, SERVER
from tests.support.dhcpwitness import ACK, DISCOVER, OFFER, REQUEST, DhcpWitness, Message, Sent
from tests.support.fuzzdhcp import golden

# Machines of which the policy says: the client (the last byte is a multiple of 3).
GOOD_MAC = bytes.fromhex("525400aa0003")
FENCE_MAC = bytes.fromhex("525400aa0006")
GOOD_XIDS = 0x8000_0000
TRIES = 8
TRY_SECONDS = 1.0
PAUSE_SECONDS = 1.0


def as_machine(data: bytes, mac: bytes) -> bytes:
    """A captured packet as ``mac`` would send it."""
    return data[:28] + mac + data[34:]


class GoodClient:
    """OVMF's packets from another machine: DHCP, the boot server, the boot file."""

    def __init__(self, wire: str, witness: DhcpWitness) -> None:
        self._wire, self._witness = wire, witness
        self._xid = GOOD_XIDS
        self._ovmf = as_machine(ovmf(), GOOD_MAC)
        self.took: list[float] = []
        self.wrong: Counter[str] = Counter()

    def again_and_again(self, stop: threading.Event) -> None:
        """Boot every second or so until told to stop."""
        while not stop.wait(PAUSE_SECONDS):
            try:
                self.boot()
            except (AssertionError, OSError) as error:
                self.wrong[f"the good client: {error!r}"] += 1

    def boot(self) -> None:
        """One boot up to the first file, each answer judged; OSError when there is none."""
        begun = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._wire.encode())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.bind(("", 68))
            offer = self._ask(sock, DISCOVER, 67)
            assert offer.kind == OFFER, "no OFFER"
            if self._witness.leases:
                address = socket.inet_aton(offer.yiaddr)
                chosen = b"\x32\x04" + address + b"\x36\x04" + socket.inet_aton(SERVER)
                lease = self._ask(sock, REQUEST, 67, chosen)
                assert (lease.kind, lease.yiaddr) == (ACK, offer.yiaddr), "no lease"
            assert self._ask(sock, REQUEST, 4011).kind == ACK, "no answer of the boot server"
        name = offer.file.rstrip(b"\0")
        assert self.fetch(name.decode()) == FILES[name], "another file"
        self.took.append(time.monotonic() - begun)

    @staticmethod
    def fetch(name: str) -> bytes:
        """A file by TFTP, by another hand's client."""
        into = io.BytesIO()
        # tftpy closes what it wrote to.
        into.close = lambda: None  # type: ignore[method-assign]
        TftpClient(SERVER, 69, {"blksize": 1468}, localip=GOOD).download(name, into)
        return into.getvalue()

    def _ask(self, sock: socket.socket, kind: int, port: int, more: bytes = b"") -> Message:
        self._xid += 1
        data = self._ovmf[:4] + self._xid.to_bytes(4, "big") + self._ovmf[8:]
        data = data.replace(b"\x35\x01\x01", b"\x35\x01" + bytes((kind,)) + more, 1)
        for _ in range(TRIES):
            sock.sendto(data, ("255.255.255.255" if port == 67 else SERVER, port))
            end = time.monotonic() + TRY_SECONDS
            while (left := end - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    answer = sock.recv(2000)
                except TimeoutError:
                    break
                if answer[4:8] == data[4:8]:
                    to = (GOOD if port == 4011 else "255.255.255.255", 68)
                    return self._witness.judge(Sent(data, (GOOD, 68), port), answer, to)
        raise TimeoutError(f"no answer to DHCP type {kind} on port {port}")


def ovmf() -> bytes:
    """A captured DISCOVER of UEFI firmware."""
    return next(data for data in golden() if b"Arch:00007" in data and b"iPXE" not in data)
