"""The sockets of a DHCP or proxy DHCP service: bytes in, a pure decision, bytes out."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address
from typing import Protocol

from castcore.boot import BootEvent, DhcpReply, DhcpRequest, Verdict, destination, heard
from castcore.edge.net.dhcppacket import decode, encode
from castcore.errors import BadPacket

from castserver.services.loop import TICK_SECONDS, SocketLoop

log = logging.getLogger(__name__)

# Datagrams handled before other sockets of the loop get their turn.
BATCH = 64
# Answers that cannot be sent are told at most so often, in seconds: who invents addresses fills no log.
WARN_SECONDS = 60.0


class DhcpPort(Protocol):
    """A UDP port of one interface: a BroadcastSocket or a TappedPort."""

    port: int

    def fileno(self) -> int:
        """For selectors."""

    def receive(self) -> tuple[bytes, tuple[str, int]]:
        """One datagram and its sender. Raises BlockingIOError, BadPacket, OSError."""

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        """Send one datagram. Raises OSError."""

    def close(self) -> None:
        """Free the port."""


@dataclass(frozen=True)
class Asked:
    """A request, and where it came from and to."""

    request: DhcpRequest
    source: tuple[str, int]
    port: DhcpPort


@dataclass(frozen=True)
class DhcpCounters:
    """What came and went since the start."""

    received: int = 0
    bad: int = 0
    answered: int = 0


class DhcpListener:
    """Listens on ``ports``, which it closes, and sends what ``decide(request, port)`` says.

    ``own`` is our address there. What a request tells of its machine's boot is an event before that, and
    ``meet`` hears of it before it is decided on.
    Answers to what came together leave together, so that what must be on disk before is written once.
    """

    def __init__(
        self,
        interface: str,
        own: IPv4Address,
        ports: Sequence[DhcpPort],
        decide: Callable[[DhcpRequest, int], Verdict],
        on_event: Callable[[BootEvent], None],
        *,
        meet: Callable[[DhcpRequest], None] = lambda _: None,
        tick: Callable[[], None] | None = None,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        self.counters = DhcpCounters()
        self._unsent, self._warned = 0, -WARN_SECONDS
        self.on_event = on_event
        self._decide, self._meet = decide, meet
        self._own = own
        self._ports = tuple(ports)
        self._outbox: list[tuple[Asked, DhcpReply]] = []
        self.loop = SocketLoop(f"dhcp {interface}", tick, tick_seconds)
        for port in self._ports:
            self.loop.add(port, partial(self._drain, port))

    def start(self) -> None:
        """Start answering."""
        self.loop.start()

    def stop(self) -> None:
        """Stop answering and free the ports."""
        self.loop.stop()
        for port in self._ports:
            port.close()

    def handle(self, asked: Asked) -> None:
        """Decide on one request; an answer leaves at the next ``flush``."""
        self.settle(asked, self._decide(asked.request, asked.port.port))

    def settle(self, asked: Asked, verdict: Verdict) -> None:
        """What becomes of a verdict."""
        if verdict.reply is not None:
            self._outbox.append((asked, verdict.reply))
        if verdict.event is not None:
            self.on_event(verdict.event)

    def flush(self) -> None:
        """Send every answer that waits."""
        answers, self._outbox = self._outbox, []
        for asked, reply in answers:
            self._send(asked.port, encode(reply), destination(reply, asked.source, asked.port.port))

    def _drain(self, port: DhcpPort) -> None:
        try:
            with contextlib.suppress(BlockingIOError):
                for _ in range(BATCH):
                    self._receive(port)
        finally:
            self.flush()

    def _receive(self, port: DhcpPort) -> None:
        try:
            data, source = port.receive()
            self._count(received=1)
            request = decode(data)
        except BadPacket as error:
            self._count(bad=1)
            log.debug("port %d: %s", port.port, error)
            return
        told = heard(request, port.port, self._own)
        if told is not None:
            self.on_event(told)
        self._meet(request)
        self.handle(Asked(request, source, port))

    def _send(self, port: DhcpPort, data: bytes, to: tuple[str, int]) -> None:
        try:
            port.send(data, to)
            self._count(answered=1)
        except OSError as error:
            # The interface went down, or an address nobody can route to: the client will ask again.
            self._warn(to, error)

    def _warn(self, to: tuple[str, int], error: OSError) -> None:
        self._unsent += 1
        now = time.monotonic()
        if now - self._warned < WARN_SECONDS:
            return
        more = f" (and {self._unsent - 1} others since the last warning)" if self._unsent > 1 else ""
        log.warning("a DHCP answer to %s:%d was not sent: %s%s", *to, error, more)
        self._unsent, self._warned = 0, now

    def _count(self, *, received: int = 0, bad: int = 0, answered: int = 0) -> None:
        now = self.counters
        self.counters = replace(
            now,
            received=now.received + received,
            bad=now.bad + bad,
            answered=now.answered + answered,
        )
