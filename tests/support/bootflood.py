"""A flood of hostile DHCP, PXE and TFTP packets at running services, every answer of which is judged.

The flood goes in windows. Each ends with good packets, whose answers tell that everything before them
has been handled; so no packet is lost for want of room in a queue, and each counts.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from castcore.boot import SERVER_PORT

from tests.support.bootroom import FILES, FUZZERS, SERVER, BootRoom, Ear, Heard
from tests.support.dhcpwitness import OFFER, DhcpWitness, Sent
from tests.support.fuzzdhcp import DhcpFuzz, golden
from tests.support.fuzztftp import TftpFuzz
from tests.support.goodclient import FENCE_MAC, GOOD_XIDS, GoodClient, as_machine
from tests.support.tftpwitness import TftpSession

WINDOW = 100
# So long an answer may still come: an address is tried by ARP before it is offered.
REMEMBERED_SECONDS = 8.0
FENCE_SECONDS = 20.0
SOURCE_PORTS = (67, 68, 4011, 2070)
TFTP_SOCKETS_PER_ADDRESS = 24
FOLLOWED = 4
# Memory is looked at so often, but not in the first tenth: the process is still warming up.
WATCHED, WARM = 80, 10
# A transfer whose client went away is given up after eight seconds and some.
FORGOTTEN_SECONDS = 20.0
PORTS = (SERVER_PORT, 4011)


@dataclass
class Flood:
    """What was sent and what came of it."""

    sent: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    # What the service used from the flood's begin to its end, then when all transfers were forgotten.
    usage: list[dict[str, Any]] = field(default_factory=list)
    after: dict[str, Any] = field(default_factory=dict)
    good: list[float] = field(default_factory=list)
    seconds: float = 0.0
    unheard: int = 0


class _Dhcp:
    """The DHCP side of a flood."""

    def __init__(self, flood: Flood, fuzz: DhcpFuzz, witness: DhcpWitness) -> None:
        self._flood, self._fuzz, self._witness = flood, fuzz, witness
        self._sockets = [_socket(FUZZERS[0], port) for port in SOURCE_PORTS]
        self._asked: dict[int, Sent] = {}
        self._windows: deque[tuple[float, list[int]]] = deque()
        # The xids of good packets that await an answer, and the port that each went to.
        self._fences: dict[int, int] = {}
        self._xid = 0
        self._good = as_machine(golden()[0], FENCE_MAC)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()

    def window(self, packets: Sequence[tuple[bytes, int]]) -> set[int]:
        """Send ``packets`` and a good one to either port; the good ones' xids."""
        mine = [self._send(data, port) for data, port in packets]
        fences = {self._send(self._kind(1), 67): 67, self._send(self._kind(3), 4011): 4011}
        self._fences |= fences
        now = time.monotonic()
        self._windows.append((now, [*mine, *fences]))
        while self._windows[0][0] < now - REMEMBERED_SECONDS:
            for xid in self._windows.popleft()[1]:
                del self._asked[xid]
        return set(fences)

    def judge(self, heard: Heard) -> set[int]:
        """The xids of the good packets that this answers, if it answers any.

        A machine whose address is being proven free is answered once, for the last DISCOVER of those
        that it sent meanwhile: its offer runs out now and then, as it never asks for the address.
        """
        xid = int.from_bytes(heard.data[4:8], "big")
        if xid >= GOOD_XIDS:
            return set()
        sent = self._asked.get(xid)
        if sent is None:
            self._flood.wrong["an answer to nothing asked"] += 1
            return set()
        try:
            answer = self._witness.judge(sent, heard.data, heard.to)
        except AssertionError as error:
            self._flood.wrong[f"DHCP: {error}"] += 1
            return set()
        port = self._fences.get(xid)
        if port is not None:
            over = {one for one, to in self._fences.items() if to == port and one <= xid}
            answered = over if port == SERVER_PORT else {xid}
            self._fences = {one: to for one, to in self._fences.items() if one not in answered}
            return answered
        self._flood.answers["OFFER" if answer.kind == OFFER else f"DHCP type {answer.kind}"] += 1
        return set()

    def _kind(self, kind: int) -> bytes:
        return self._good.replace(b"\x35\x01\x01", b"\x35\x01" + bytes((kind,)), 1)

    def _send(self, data: bytes, port: int) -> int:
        self._xid += 1
        own = data[:4] + self._xid.to_bytes(4, "big") + data[8:] if len(data) > 8 else data
        sock = self._sockets[self._xid % len(self._sockets)]
        sock.sendto(own, (SERVER, port))
        self._asked[self._xid] = Sent(own, (FUZZERS[0], SOURCE_PORTS[self._xid % 4]), port)
        return self._xid


@dataclass
class _Port:
    """A client's port: its session, and the last other one that was served: more may come of it."""

    sock: socket.socket
    session: TftpSession | None = None
    before: TftpSession | None = None
    # The transfer's last block, when the client has yet to say something about it.
    block: int | None = None
    # The fence before which it last sent.
    fence: int = -1


class _Tftp:
    """The TFTP side of a flood."""

    def __init__(self, flood: Flood, fuzz: TftpFuzz, files: dict[bytes, bytes]) -> None:
        self._flood, self._fuzz, self._files = flood, fuzz, files
        made = [_socket(a, 0) for _ in range(TFTP_SOCKETS_PER_ADDRESS) for a in FUZZERS]
        self._ports = {sock.getsockname(): _Port(sock) for sock in made}
        self._turns = deque(self._ports.values())
        self._fence = _socket(FUZZERS[0], 0)
        self._fences = self._answered = 0

    def close(self) -> None:
        for sock in (self._fence, *(port.sock for port in self._ports.values())):
            sock.close()

    def turn(self, requests: int) -> int:
        """Let ports have their turn until so many requests are sent; how many were.

        A port has its turn when what it sent before is answered or never will be: two good requests that
        came after are (with only one, a transfer's own socket may still wait to be read).
        """
        sent = 0
        while sent < requests and self._turns[0].fence < self._answered:
            port = self._turns[0]
            self._turns.rotate(-1)
            sent += not self._follow(port)
            port.fence = self._fences + 1
        self._fences += 1
        self._fence.sendto(b"\0\1none%d\0octet\0" % self._fences, (SERVER, 69))
        return sent

    def judge(self, heard: Heard) -> None:
        if heard.to == self._fence.getsockname():
            self._answered += 1
        port = self._ports.get(heard.to)
        if port is None or port.session is None:
            return
        session, before = port.session, port.before
        try:
            if before is not None and heard.port == before.server_port != session.server_port:
                # The transfer before is sent again, or its port was given to this one.
                with suppress(AssertionError):
                    before.judge(heard.data, heard.port)
                    return
            block = session.judge(heard.data, heard.port)
        except AssertionError as error:
            self._flood.wrong[f"TFTP: {error}"] += 1
            return
        self._flood.answers[f"TFTP opcode {heard.data[1]}"] += 1
        if block >= 0:
            port.block = block

    def _follow(self, port: _Port) -> bool:
        """Go on with the port's transfer, or ask anew: False."""
        session = port.session
        if session is not None and port.block is not None and not session.ended:
            if self._fuzz.random.random() < 0.02:
                port.block = None  # It goes away without a word.
                return True
            over = session.answers > FOLLOWED
            data = self._fuzz.ending() if over else self._fuzz.follow(port.block)
            session.acknowledged(data)
            session.ended = data[:2] == b"\0\5"
            port.sock.sendto(data, (SERVER, session.server_port))
            port.block = None
            self._flood.sent["TFTP follow-up"] += 1
            return True
        if session is not None and session.server_port:
            port.before = session
        port.block = None
        port.session = TftpSession(self._fuzz.request(), self._files)
        port.sock.sendto(port.session.asked, (SERVER, 69))
        self._flood.sent["TFTP request"] += 1
        return False


def flood(
    room: BootRoom, witness: DhcpWitness, dhcp: int, tftp: int, more: Sequence[bytes], seed: int
) -> Flood:
    """So many packets, every answer judged, a good client beside; run it in the room's namespace."""
    told, stop = Flood(), threading.Event()
    files = FILES | {b"grub/grub.cfg": GoodClient.fetch("grub/grub.cfg")}
    ear = Ear(room.cable.wire)
    sides = _Dhcp(told, DhcpFuzz(seed, more), witness), _Tftp(told, TftpFuzz(seed), files)
    client = GoodClient(room.cable.wire, witness)
    beside = threading.Thread(target=client.again_and_again, args=(stop,))
    try:
        client.boot()
        _fill(sides[0], ear)
        beside.start()
        _windows(room, told, sides, ear, dhcp, tftp)
        stop.set()
        beside.join()
        told.after = _forgotten(room, told.usage[0]["files"])
    finally:
        stop.set()
        if beside.is_alive():
            beside.join()
        told.unheard = ear.lost()
        ear.close()
        for side in sides:
            side.close()
    told.good = client.took
    told.wrong.update(client.wrong)
    return told


def _fill(side: _Dhcp, ear: Ear) -> None:
    """Fill what the server remembers of machines (bounded) before memory is watched."""
    data = golden()[0]
    for start in range(0, 2100, WINDOW):
        # Ones that the policy ignores: they are noted, and cost no address.
        macs = [b"\x52\x54\x01" + n.to_bytes(2, "big") + b"\x02" for n in range(start, start + WINDOW)]
        packets = [(as_machine(data, mac), 67) for mac in macs]
        _wait(side, ear, side.window(packets))


def _windows(
    room: BootRoom, told: Flood, sides: tuple[_Dhcp, _Tftp], ear: Ear, dhcp: int, tftp: int
) -> None:
    begun, count = time.monotonic(), -(-dhcp // WINDOW)
    per_window, warm, open_fences = tftp / count, count // WARM, set[int]()
    for number in range(count):
        if number * WATCHED // count != (number - 1) * WATCHED // count and number >= warm:
            told.usage.append(room.usage())
        packets = [sides[0]._fuzz.next() for _ in range(WINDOW)]
        before, open_fences = open_fences, sides[0].window(packets)
        told.sent["DHCP"] += WINDOW
        sides[1].turn(int((number + 1) * per_window) - told.sent["TFTP request"])
        # The window before this one is waited for: the server is never idle.
        open_fences -= _wait(sides[0], ear, before, sides[1])
    went_on = time.monotonic()
    while told.sent["TFTP request"] < tftp:
        if sides[1].turn(tftp - told.sent["TFTP request"]):
            went_on = time.monotonic()
        assert time.monotonic() - went_on < FENCE_SECONDS, "TFTP requests are no longer answered"
        open_fences -= _wait(sides[0], ear, sides[0].window([]), sides[1])
    _wait(sides[0], ear, open_fences, sides[1])
    told.seconds = time.monotonic() - begun
    told.usage.append(room.usage())


def _forgotten(room: BootRoom, files: int) -> dict[str, Any]:
    """What the service uses when it has forgotten those who went away; at the latest after a while."""
    end = time.monotonic() + FORGOTTEN_SECONDS
    while (now := room.usage())["files"] > files and time.monotonic() < end:
        time.sleep(0.5)
    return now


def _wait(side: _Dhcp, ear: Ear, fences: set[int], tftp: _Tftp | None = None) -> set[int]:
    """Judge answers until all ``fences`` are answered; the later ones that were, too."""
    end, seen = time.monotonic() + FENCE_SECONDS, set[int]()
    while True:
        for heard in ear.listen(0.0 if fences <= seen else 0.5):
            if heard.port in PORTS:
                seen |= side.judge(heard)
            elif tftp is not None:
                tftp.judge(heard)
        if fences <= seen:
            return seen
        if time.monotonic() > end:
            told = f"good packets are no longer answered: {fences - seen}"
            raise AssertionError(f"{told}; we did not hear {ear.lost()} packets")


def _socket(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # What arrives is heard elsewhere.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.bind((address, port))
    return sock
