"""A receiver's sockets: one for its cast's group, one for what it says and what is answered to it."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

from castcore.cast.descriptor import CastDescriptor
from castcore.edge.cast.leakprobe import flooded
from castcore.edge.cast.multicast import Batch, GroupReceiver
from castcore.edge.net.interface import Interface
from castcore.errors import NetworkFailed

ANSWER_MAX = 2048


class Ears:
    """The sockets for the cast that ``descriptor`` names; ``deaf``: without the group's traffic.

    Raises NetworkFailed.
    """

    def __init__(
        self,
        interface: Interface,
        descriptor: CastDescriptor,
        *,
        segment: int,
        offload: bool,
        deaf: bool,
    ) -> None:
        self._interface, self._address, self._deaf = interface, descriptor.group, deaf
        self._group = GroupReceiver(
            interface, descriptor.group, descriptor.port, segment=segment, offload=offload
        )
        self.deep = self._group.deep
        self._to = interface.reach(*descriptor.feedback_address)
        self._feedback = socket.socket(interface.family, socket.SOCK_DGRAM)
        try:
            if deaf:
                self._group.leave()
            self._feedback.bind(interface.reach(interface.address, 0))
        except OSError as error:
            self._group.socket.close()
            self._feedback.close()
            raise NetworkFailed(
                f"cannot answer from {interface.address} on {interface.name}: {error.strerror}"
            ) from None
        self._feedback.settimeout(0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._group.socket, selectors.EVENT_READ)
        self._selector.register(self._feedback, selectors.EVENT_READ)

    def receive(self) -> Batch:
        """What is waiting of the group's datagrams."""
        return self._group.receive()

    def answers(self) -> Iterator[bytes]:
        """What is waiting of the sender's answers."""
        try:
            while True:
                yield self._feedback.recv(ANSWER_MAX)
        except OSError:  # nothing more is waiting, or the server's port is closed
            return

    def say(self, packet: bytes) -> None:
        """Send ``packet`` to the sender; without a link it is lost, and said again."""
        try:
            self._feedback.sendto(packet, self._to)
        except OSError:
            return

    def member(self, *, joined: bool) -> None:
        """Be in the group or not, unless its traffic cannot come anyway."""
        if self._deaf:
            return
        try:
            if joined:
                self._group.enter()
            else:
                self._group.leave()
        except OSError:  # no link just now: silence is noticed elsewhere
            return

    def leaks(self) -> bool:
        """Whether the group's traffic still reaches this host although it left; takes a moment."""
        return flooded(self._interface, self._address)

    def wait(self, seconds: float) -> None:
        """Wait until something comes, at most ``seconds``."""
        self._selector.select(seconds)

    def close(self) -> None:
        """Leave the group."""
        self._selector.close()
        self._group.socket.close()
        self._feedback.close()
