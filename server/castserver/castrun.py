"""One cast on the air: its open image and the sender that serves it now.

A sender ends when everybody it knows has everything. Whoever comes later gets a fresh one over the
same image: a client that reads the descriptor is always given a sender it can still join.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from castcore.cast.peers import Peers
from castcore.cast.status import CastStatus
from castcore.chunks import ChunkSource
from castcore.errors import FleetcastError, InUse, NotFound

from castserver import castroutes
from castserver.groups import cast_group

FIRST_PORT = 7100
# Below this, UDP ports stay clear of anything registered beside ours.
MOST_SLOTS = 200


class LiveSender(castroutes.Sender, Protocol):
    """What a cast needs of ``castcore.edge.cast.sender.CastSender``."""

    def start(self) -> None:
        """Begin to send."""
        ...

    def stop(self, *, abort: bool = False) -> None:
        """Stop sending and free sockets and threads; ``abort`` tells clients to give up."""
        ...

    def finished(self) -> bool:
        """Whether it has closed: nobody can join any more."""
        ...

    def status(self) -> CastStatus:
        """How it stands."""
        ...


class OpenImage(castroutes.CastImage, Protocol):
    """An open image (``castserver.library.LibraryImage``)."""

    @property
    def source(self) -> ChunkSource:
        """Its chunks, for a sender."""
        ...

    @property
    def name(self) -> str:
        """Its name in the library."""
        ...

    @property
    def root(self) -> str:
        """The hex digest that proves it whole."""
        ...

    @property
    def failure(self) -> FleetcastError | None:
        """What reading a single chunk of it has failed of, None while all is well."""
        ...

    def close(self) -> None:
        """Close its files."""
        ...


@dataclass(frozen=True)
class CastOptions:
    """How a cast travels. ``peers``: finished clients serve chunks to the others; ``mac``, ``encrypt``:
    see :mod:`castcore.cast.protection`.
    """

    peers: bool = True
    mac: bool = False
    encrypt: bool = False


# Makes a sender for the image, in the numbered slot (its group and its two ports).
SenderFactory = Callable[[OpenImage, int, CastOptions], LiveSender]


def free_slot(taken: Collection[int]) -> int:
    """The smallest slot no running cast uses. Raises InUse when all are."""
    for slot in range(MOST_SLOTS):
        if slot not in taken:
            return slot
    raise InUse(
        f"{MOST_SLOTS} casts are under way, no more can be", hint="wait for one to end, or cancel one"
    )


def slot_addresses(slot: int, salt: int) -> tuple[str, int, int]:
    """Group, data port and feedback port of ``slot``; ``salt`` (0-255) keeps two servers apart."""
    port = FIRST_PORT + 2 * slot
    return cast_group(socket.AF_INET, salt, slot), port, port + 1


class CastRun:
    """The sender of one cast, replaced as needed; all calls are safe from any thread."""

    def __init__(self, image: OpenImage, slot: int, make: SenderFactory, options: CastOptions) -> None:
        self.image = image
        self.slot = slot
        self._make, self._options = make, options
        self._lock = threading.Lock()
        self._sender: LiveSender | None = None
        self._started = False
        self._closed = False

    def current_sender(self) -> LiveSender:
        """The sender to follow now, fresh when the last has finished.

        Raises InUse when closed, NotFound with the reason when the cast has failed.
        """
        with self._lock:
            if self._closed:
                raise InUse("the cast has ended", hint="ask the operator to cast again")
            failure = self._failure()
            if failure:
                raise NotFound(failure, hint="ask the operator to cast again")
            if self._sender is None or self._sender.finished():
                self._drop()
                self._sender = self._make(self.image, self.slot, self._options)
            return self._sender

    def join(self, client: str, held: bytes) -> castroutes.Answer:
        """Let ``client`` into the current sender. Raises InUse when that has just finished."""
        with self._lock:
            if self._sender is None or self._sender.finished():
                raise InUse("this sender has closed", hint="read the descriptor again, then join")
            return self._sender.join(client, held)

    def peers(self, client: str, address: str) -> Peers:
        """Who serves chunks to ``client``; nobody when the sender has finished."""
        with self._lock:
            sender = self._sender
        return sender.peers(client, address) if sender is not None else Peers()

    def start(self) -> None:
        """Begin to send, unless it has begun."""
        with self._lock:
            if self._sender is not None and not self._started:
                self._sender.start()
                self._started = True

    def status(self) -> CastStatus | None:
        """How the sender stands; None before the first client read the descriptor."""
        with self._lock:
            return self._sender.status() if self._sender is not None else None

    @property
    def failure(self) -> str:
        """Why it cannot go on, "" while it can."""
        with self._lock:
            return self._failure()

    def close(self, *, abort: bool = False) -> None:
        """Stop for good; ``abort`` tells clients that nothing more will come."""
        with self._lock:
            self._closed = True
            self._drop(abort=abort)
            self.image.close()

    def _failure(self) -> str:
        if self.image.failure is not None:
            return self.image.failure.what
        return self._sender.status().failure if self._sender is not None else ""

    def _drop(self, *, abort: bool = False) -> None:
        if self._sender is not None:
            self._sender.stop(abort=abort)
        self._sender, self._started = None, False
