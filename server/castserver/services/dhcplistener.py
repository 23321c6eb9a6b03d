"""The sockets of a DHCP or proxy DHCP service: bytes in, a pure decision, bytes out."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from castcore.boot import BootEvent, DhcpRequest, Verdict, destination
from castcore.edge.net.bootsockets import BroadcastSocket
from castcore.edge.net.dhcppacket import decode, encode
from castcore.errors import BadPacket

from castserver.services.loop import SocketLoop

log = logging.getLogger(__name__)

# Datagrams handled before other sockets of the loop get their turn.
BATCH = 64


@dataclass(frozen=True)
class DhcpCounters:
    """What came and went since the start."""

    received: int = 0
    bad: int = 0
    answered: int = 0


class DhcpListener:
    """Listens on ``ports`` of one interface and sends what ``decide(request, port)`` says.

    The sockets are opened here: NotFound, PortTaken, Refused.
    """

    def __init__(
        self,
        interface: str,
        address: str,
        ports: tuple[int, ...],
        decide: Callable[[DhcpRequest, int], Verdict],
        on_event: Callable[[BootEvent], None],
    ) -> None:
        self.counters = DhcpCounters()
        self._decide = decide
        self._on_event = on_event
        with contextlib.ExitStack() as undo:
            self._sockets = []
            for port in ports:
                self._sockets.append(BroadcastSocket(interface, address, port))
                undo.callback(self._sockets[-1].close)
            undo.pop_all()
        self._loop = SocketLoop(f"dhcp {interface}")
        for sock in self._sockets:
            self._loop.add(sock, partial(self._drain, sock))

    def start(self) -> None:
        """Start answering."""
        self._loop.start()

    def stop(self) -> None:
        """Stop answering and free the ports."""
        self._loop.stop()
        for sock in self._sockets:
            sock.close()

    def _drain(self, sock: BroadcastSocket) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(BATCH):
                data, source = sock.receive()
                self._handle(sock, data, source)

    def _handle(self, sock: BroadcastSocket, data: bytes, source: tuple[str, int]) -> None:
        self._count(received=1)
        try:
            request = decode(data)
        except BadPacket as error:
            self._count(bad=1)
            log.debug("port %d, from %s: %s", sock.port, source[0], error)
            return
        verdict = self._decide(request, sock.port)
        if verdict.reply is not None:
            self._send(sock, encode(verdict.reply), destination(verdict.reply, source, sock.port))
        if verdict.event is not None:
            self._on_event(verdict.event)

    def _send(self, sock: BroadcastSocket, data: bytes, to: tuple[str, int]) -> None:
        try:
            sock.send(data, to)
            self._count(answered=1)
        except OSError as error:
            # The interface went down, or an address nobody can route to: the client will ask again.
            log.warning("a DHCP answer to %s:%d was not sent: %s", *to, error)

    def _count(self, *, received: int = 0, bad: int = 0, answered: int = 0) -> None:
        now = self.counters
        self.counters = replace(
            now,
            received=now.received + received,
            bad=now.bad + bad,
            answered=now.answered + answered,
        )
