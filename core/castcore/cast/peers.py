"""Finished clients serve whole chunks to others: who does, whom to ask, how much at once.

Three deciders without sockets or clocks: the sender's `Tracker`, a receiver's `SeedChoice`, a seed's
`UploadBudget`. Nobody ever waits for a seed: what one does not give at once, the server gives.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from castcore.cast.lots import Lots
from castcore.errors import BadPacket

# How many seeds one answer names: with four of them two may be dead and two busy.
SEEDS_GIVEN = 4
# So many seeds stay for each client that gets its chunks from seeds; the others may restart at once.
SEEDS_PER_CLIENT = 4
# Who asked for seeds so lately still does: a client that fetches asks every LIST_SECONDS. Who joined so
# lately may yet find that it does not hear the group (`HEAR_SECONDS`), and ask.
ASKED_SECONDS = 6.0
# A seed's disk and link are still its user's, if not for long.
UPLOADS_MAX = 2
UPLOAD_RATE = 50e6
# What was not served for a while may go out at once; less than a chunk's worth of it.
UPLOAD_DEPTH = 0.02
# The list of seeds grows old: others have finished, some have left.
LIST_SECONDS = 2.0
# Nobody had finished yet: it may be a matter of moments.
EMPTY_SECONDS = 0.5
# Addresses in one network of this size are taken for the same subnet.
SUBNET_PREFIX = {4: 24, 6: 64}


@dataclass(frozen=True, slots=True)
class Seed:
    """A client that serves chunks, by IP address and TCP port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Peers:
    """The server's answer to a client: seeds to ask, and whether itself shall ``stay`` as one."""

    seeds: tuple[Seed, ...] = ()
    stay: bool = False

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        return {"seeds": [[s.address, s.port] for s in self.seeds], "stay": self.stay}

    @classmethod
    def from_json(cls, value: Any) -> Peers:
        """The answer that ``value`` spells. Raises BadPacket."""
        try:
            seeds = tuple(_seed(*entry) for entry in value["seeds"][:SEEDS_GIVEN])
            stay = value["stay"]
        except (TypeError, KeyError, ValueError) as error:
            raise BadPacket(f"not an answer about peers: {error!r}") from None
        if type(stay) is not bool:
            raise BadPacket("not an answer about peers: `stay` is neither true nor false")
        return cls(seeds, stay)


def _seed(address: Any, port: Any) -> Seed:
    if type(port) is not int or not 0 < port < 1 << 16 or not isinstance(address, str):
        raise BadPacket("a seed without a usable address or port")
    return Seed(str(ipaddress.ip_address(address)), port)


class Tracker:
    """The seeds of one cast, by the name of the client; for the sender."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._seeds: dict[str, Seed] = {}
        self._asked: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._seeds)

    def joined(self, now: float, client: str, number: int) -> None:
        """``client`` takes part (anew) under ``number`` since ``now`` (seconds)."""
        self._names[number] = client
        self._asked[client] = now
        self._seeds.pop(client, None)

    def finished(self, number: int, seed: Seed) -> None:
        """The client with this number has finished and, unless its port is 0, serves chunks."""
        client = self._names.get(number)
        if client is None:
            return
        self._asked.pop(client, None)
        if seed.port:
            self._seeds[client] = seed

    def answer(self, now: float, client: str, address: str, lots: Lots) -> Peers:
        """What to tell ``client``, asking from ``address`` at ``now`` (seconds).

        A seed that is not needed leaves, and is not named any more: whom the group's stream serves
        needs none.
        """
        if client in self._seeds:
            return Peers(stay=self._stays(now, client))
        self._asked[client] = now
        return Peers(self._some(address, lots))

    def _stays(self, now: float, client: str) -> bool:
        fetching = sum(now - asked <= ASKED_SECONDS for asked in self._asked.values())
        # The first to finish are the fastest, and whoever asks first may leave first.
        kept = list(self._seeds)[: SEEDS_PER_CLIENT * fetching]
        if client in kept:
            return True
        del self._seeds[client]
        return False

    def _some(self, address: str, lots: Lots) -> tuple[Seed, ...]:
        seeds = list(self._seeds.values())
        mixed = lots.sample(seeds, len(seeds))
        mixed.sort(key=lambda seed: not same_subnet(seed.address, address))
        return tuple(mixed[:SEEDS_GIVEN])


def same_subnet(one: str, other: str) -> bool:
    """Whether two IP addresses are likely to be on one switch; False for what is no address."""
    try:
        a, b = ipaddress.ip_address(one), ipaddress.ip_address(other)
    except ValueError:
        return False
    shift = a.max_prefixlen - SUBNET_PREFIX[a.version]
    return a.version == b.version and int(a) >> shift == int(b) >> shift


class SeedChoice:
    """A receiver's seeds: the least busy first, never one that lied or was too slow."""

    def __init__(self) -> None:
        self._seeds: list[Seed] = []
        self._asking: dict[Seed, int] = {}
        self._banned: set[Seed] = set()
        self._listed_at = -LIST_SECONDS

    @property
    def banned(self) -> int:
        """How many seeds are never asked again."""
        return len(self._banned)

    def due(self, now: float) -> bool:
        """Whether it is time to ask the server for seeds; then it is not for a while."""
        if now - self._listed_at < (LIST_SECONDS if self._seeds else EMPTY_SECONDS):
            return False
        self._listed_at = now
        return True

    def update(self, seeds: tuple[Seed, ...]) -> None:
        """The server named these."""
        self._seeds = [seed for seed in seeds if seed not in self._banned]

    def take(self, but: frozenset[Seed] = frozenset()) -> Seed | None:
        """A seed to ask, not one of ``but``; give it back by `done` or `ban`."""
        free = [
            seed for seed in self._seeds if seed not in but and self._asking.get(seed, 0) < UPLOADS_MAX
        ]
        if not free:
            return None
        seed = min(free, key=lambda s: self._asking.get(s, 0))
        self._asking[seed] = self._asking.get(seed, 0) + 1
        return seed

    def done(self, seed: Seed) -> None:
        """It has answered: with the chunk, that it is busy, or that it lacks it, which is no fault."""
        self._asking[seed] -= 1

    def ban(self, seed: Seed) -> None:
        """It lied, was too slow, or does not answer."""
        self._asking[seed] -= 1
        self._banned.add(seed)
        self._seeds = [s for s in self._seeds if s != seed]


class UploadBudget:
    """What a seed may send: UPLOADS_MAX answers at once, all of them at UPLOAD_RATE bytes a second."""

    def __init__(self, rate: float = UPLOAD_RATE) -> None:
        self._rate = rate
        self._uploads = 0
        self._free_at = 0.0

    def enter(self) -> bool:
        """Begin an upload; False when it is one too many."""
        if self._uploads >= UPLOADS_MAX:
            return False
        self._uploads += 1
        return True

    def leave(self) -> None:
        """An upload has ended."""
        self._uploads -= 1

    def spend(self, now: float, size: int) -> float:
        """Account for ``size`` bytes to be sent now; how long to wait before sending more."""
        self._free_at = max(self._free_at, now - UPLOAD_DEPTH) + size / self._rate
        return max(self._free_at - now, 0.0)
