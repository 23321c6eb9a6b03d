"""A sender of a cast that sends nothing: it records what it is told, and says what a test wants."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from castcore.cast.peers import Peers, Seed
from castcore.cast.states import ClientClass, SenderState
from castcore.cast.status import CastStatus, ClientStatus
from castcore.errors import Busy
from castserver.casts.legrun import CastOptions, OpenImage


@dataclass(frozen=True)
class FakeAnswer:
    client_number: int

    def to_json(self) -> dict[str, Any]:
        return {"client_number": self.client_number}


@dataclass
class FakeSender:
    """Records what it is told; a test sets ``over`` when it has closed."""

    image: OpenImage
    slot: int
    number: int
    options: CastOptions = field(default_factory=CastOptions)
    joined: list[str] = field(default_factory=list)
    held: dict[str, bytes] = field(default_factory=dict)
    started: bool = False
    stopped: bool = False
    aborted: bool = False
    over: bool = False
    crowded: bool = False
    paused: bool = False
    cap: float = 0.0
    uses: float = math.inf
    failure: str = ""
    leg: int = 0

    @property
    def descriptor(self) -> bytes:
        return f"descriptor {self.number}".encode()

    def join(self, client: str, held: bytes) -> FakeAnswer:
        self.joined.append(client)
        self.held[client] = held
        return FakeAnswer(len(self.joined))

    def symbol_digests(self, selection: int, block: int) -> bytes:
        return b"digests of %d of %d" % (block, selection)

    def selection(self, number: int) -> bytes:
        return f"selection {number}".encode()

    def turn(self, client: str, chunk: int) -> float:
        if self.crowded:
            raise Busy(f"{client} shall ask for {chunk} later")
        return 0.0

    def peers(self, client: str, address: str) -> Peers:
        return Peers((Seed("10.0.0.9", 7000),) if address else (), stay=client in self.joined)

    def start(self) -> None:
        self.started = True

    def pause(self, *, paused: bool) -> None:
        self.paused = paused

    def limit(self, cap: float) -> None:
        self.cap = cap

    def wish(self) -> float:
        return self.uses if self.started and not self.paused else 0.0

    def stop(self, *, abort: bool = False) -> None:
        self.stopped, self.aborted = True, abort

    def finished(self) -> bool:
        return self.over

    def fault(self) -> str:
        return self.failure

    def status(self) -> CastStatus:
        state = SenderState.PASS if self.started else SenderState.GATHER
        clients = tuple(
            ClientStatus(name, ClientClass.OK, 10, 0.5, 8.0, 3, 6, 900, 0, 0, 0, done=False)
            for name in self.joined
        )
        return CastStatus(state, 1000 if self.started else 0, 0, 0, 1, 0, clients, self.failure)
