"""Tells booting machines that ask for an IPv6 router that there is none, so that they do not wait."""

from __future__ import annotations

import contextlib
import logging
import time

from castcore.boot import BootEvent, BootStage
from castcore.boot.routeradvert import HOP_LIMIT, BootingMachines, no_router, solicitor
from castcore.edge.net.routersocket import RouterSocket
from castcore.errors import BadPacket

from castserver.services.loop import SocketLoop

log = logging.getLogger(__name__)

# Solicitations handled before the loop looks at anything else.
BATCH = 64
_OURS = (BootStage.OFFERED, BootStage.SKIPPED)
_NOBODY = "::"


class RouterAnswers:
    """Answers the machines of :meth:`note` on one interface, each alone; nobody else hears of it.

    A machine that a router answers too goes on with whichever comes first: it boots by IPv4 anyway.
    Where IPv6 is off there is nothing to answer.
    """

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._machines = BootingMachines()
        self._socket: RouterSocket | None = None
        self._loop: SocketLoop | None = None

    def note(self, event: BootEvent) -> None:
        """Hear what happens to machines: which of them we boot."""
        if event.mac and event.stage in _OURS:
            self._machines.note(event.mac, time.monotonic())

    def start(self) -> None:
        """Start answering. Raises NotFound (no such interface)."""
        try:
            self._socket = RouterSocket(self._interface)
        except OSError as error:
            log.info("%s: solicitations of IPv6 routers are not heard: %s", self._interface, error)
            return
        self._loop = SocketLoop(f"routers {self._interface}")
        self._loop.add(self._socket, self._drain)
        self._loop.start()

    def stop(self) -> None:
        """Stop answering; may be called before start and twice."""
        if self._loop is not None and self._socket is not None:
            self._loop.stop()
            self._socket.close()
        self._loop = self._socket = None

    def _drain(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):
            for _ in range(BATCH):
                message, hop_limit, sender = self._socket.receive()
                if hop_limit == HOP_LIMIT and sender[0] != _NOBODY:
                    self._answer(message, sender)

    def _answer(self, message: bytes, sender: tuple[str, int, int, int]) -> None:
        assert self._socket is not None
        try:
            mac = solicitor(message)
        except BadPacket as error:
            log.debug("from %s: %s", sender[0], error)
            return
        if self._machines.is_booting(mac, time.monotonic()):
            with contextlib.suppress(OSError):  # it has gone, or the interface has
                self._socket.send(no_router(), sender)
