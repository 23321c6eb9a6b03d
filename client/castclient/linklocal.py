"""An IPv4 link-local address for one interface, as RFC 3927 has it. Pure: clock and packets come in.

Where nobody answers DHCP, machines and servers give themselves addresses of 169.254/16. One is probed
for, announced, used, and given up when another machine proves to have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address

from castcore.boot import ArpPacket

PREFIX = 16
# RFC 3927, section 9; seconds.
_PROBE_NUM, _PROBE_MIN, _PROBE_MAX = 3, 1.0, 2.0
_ANNOUNCE_WAIT, _ANNOUNCE_NUM, _ANNOUNCE_INTERVAL = 2.0, 2, 2.0
_MOST_CONFLICTS, _RATE_LIMIT = 10, 60.0
_DEFEND_INTERVAL = 10.0
# 169.254.0/24 and 169.254.255/24 are kept for later use.
_FIRST = IPv4Address("169.254.1.0")
_COUNT = 0xFE00


class Do(Enum):
    """What the claim's owner does next with its address."""

    PROBE = "probe"
    ANNOUNCE = "announce"
    USE = "use"
    GIVE_UP = "give up"


class Step(Enum):
    """How far a claim is."""

    PROBING = "probing"
    ANNOUNCING = "announcing"
    HOLDING = "holding"


@dataclass
class Claim:
    """One interface's claim to an address, begun at ``now`` (seconds); ``mac`` chooses which it tries.

    The same card tries the same addresses in the same order each time (RFC 3927, 2.1). ``at`` is when
    `due` is to be asked again.
    """

    mac: str
    now: float
    address: IPv4Address = field(init=False)
    step: Step = field(init=False)
    at: float = field(init=False)
    _sent: int = field(init=False)

    def __post_init__(self) -> None:
        self._addresses = candidates(self.mac)
        self._spread = _fractions(self.mac)
        self._conflicts = 0
        self._defended = float("-inf")
        self._begin(self.now)

    @property
    def in_use(self) -> bool:
        """Whether the address is ours now."""
        return self.step is not Step.PROBING

    def due(self, now: float) -> tuple[Do, ...]:
        """What is to be done at ``now``."""
        if now < self.at or self.step is Step.HOLDING:
            return ()
        if self.step is Step.PROBING and self._sent < _PROBE_NUM:
            self._sent += 1
            last = self._sent == _PROBE_NUM
            pause = _PROBE_MIN + (_PROBE_MAX - _PROBE_MIN) * next(self._spread)
            self.at = now + (_ANNOUNCE_WAIT if last else pause)
            return (Do.PROBE,)
        taken = (Do.USE,) if self.step is Step.PROBING else ()
        self._announced(now)
        return (*taken, Do.ANNOUNCE)

    def heard(self, packet: ArpPacket, now: float) -> tuple[Do, ...]:
        """What an ARP ``packet`` heard at ``now`` leads to: only another with our address counts."""
        if packet.sender_mac == self.mac:
            return ()
        claims = packet.sender == self.address
        if self.step is Step.PROBING:
            # Somebody else who probes for it at the same time counts too (2.2.1).
            rival = packet.sender == IPv4Address(0) and packet.target == self.address
            if claims or rival:
                self._next(now)
            return ()
        if not claims:
            return ()
        if now - self._defended >= _DEFEND_INTERVAL:
            self._defended = now
            return (Do.ANNOUNCE,)
        self._next(now)
        return (Do.GIVE_UP,)

    def _announced(self, now: float) -> None:
        self._sent = 1 if self.step is Step.PROBING else self._sent + 1
        self.step = Step.ANNOUNCING if self._sent < _ANNOUNCE_NUM else Step.HOLDING
        self.at = now + _ANNOUNCE_INTERVAL

    def _next(self, now: float) -> None:
        """Another address; slowly once many were taken, so that a broken network is not flooded."""
        self._conflicts += 1
        self._begin(now + (_RATE_LIMIT if self._conflicts >= _MOST_CONFLICTS else 0.0))

    def _begin(self, now: float) -> None:
        self.address = next(self._addresses)
        self.step, self._sent = Step.PROBING, 0
        # Machines that were switched on together must not probe together.
        self.at = now + next(self._spread)


def candidates(mac: str) -> Iterator[IPv4Address]:
    """The addresses that the card ``mac`` tries, in its order, without end."""
    for number in _numbers(f"address {mac}"):
        yield _FIRST + number % _COUNT


def _fractions(mac: str) -> Iterator[float]:
    for number in _numbers(f"pause {mac}"):
        yield number / 2**64


def _numbers(seed: str) -> Iterator[int]:
    count = 0
    while True:
        digest = hashlib.sha256(f"{seed} {count}".encode()).digest()
        yield int.from_bytes(digest[:8], "big")
        count += 1
