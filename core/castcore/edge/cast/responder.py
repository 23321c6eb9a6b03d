"""The thread that answers for a server: every DISCOVER on its interfaces gets a signed OFFER."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from castcore.cast import discovery
from castcore.cast.discovery import Offer
from castcore.edge.cast.discoverysockets import answering_socket, waiting
from castcore.edge.net.interface import Interface, SocketAddress
from castcore.errors import BadPacket, FleetcastError
from castcore.trust import SigningKey

# Five hundred clients ask once a second while they look for a server; signing an answer takes 0.1 ms.
MOST_ANSWERS_PER_SECOND = 1000
MOST_ANSWERS_PER_SENDER = 4
# How often it is seen whether an interface was removed and is back.
LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class OfferFields:
    """What a server puts into its OFFERs; at most ``discovery.MOST_CASTS`` open casts are named."""

    url: str
    certificate_digest: bytes
    name: str
    casts_open: tuple[str, ...] = ()


class AnswerLimit:
    """How many answers go out per second on an interface, in all and to one sender: a flood gains
    nothing.
    """

    def __init__(
        self, most: int = MOST_ANSWERS_PER_SECOND, per_sender: int = MOST_ANSWERS_PER_SENDER
    ) -> None:
        self._most, self._per_sender = most, per_sender
        self._second = -1
        self._sent: dict[str, int] = {}
        self._total = 0

    def allow(self, sender: str, now: float) -> bool:
        """May ``sender`` be answered at ``now`` (seconds)? Counts the answer when it may."""
        if int(now) != self._second:
            self._second, self._sent, self._total = int(now), {}, 0
        if self._total >= self._most or self._sent.get(sender, 0) >= self._per_sender:
            return False
        self._total += 1
        self._sent[sender] = self._sent.get(sender, 0) + 1
        return True


class _Ear:
    """The socket on one interface, with its limit; a new one when that was removed and is back."""

    def __init__(self, own: Interface, sock: socket.socket) -> None:
        self.own, self.sock = own, sock
        # Its own: a flood on one network takes no answer from another.
        self.limit = AnswerLimit()
        self._index = own.index

    def look(self, selector: selectors.BaseSelector) -> None:
        """A socket is tied to the number that the kernel gave the interface, which may have changed."""
        try:
            index = socket.if_nametoindex(self.own.name)
            if index == self._index:
                return
            fresh = answering_socket(self.own.name, self.own.family)
        except (OSError, FleetcastError):  # gone, or just appearing
            return
        selector.unregister(self.sock)
        self.sock.close()
        self.sock, self._index = fresh, index
        selector.register(fresh, selectors.EVENT_READ, self)

    def close(self) -> None:
        self.sock.close()


class DiscoveryResponder:
    """A thread that answers every DISCOVER on ``interfaces`` with what ``offer`` says of that one
    (None: nothing).

    An interface is heard over the family of its address. ``answered`` and ``dropped`` count datagrams
    (dropped: malformed, or over the limit).
    """

    def __init__(
        self,
        offer: Callable[[Interface], OfferFields | None],
        key: SigningKey,
        interfaces: Sequence[Interface],
    ) -> None:
        self._offer, self._key, self._interfaces = offer, key, tuple(interfaces)
        self._public = key.public
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = -1, -1
        self.answered = 0
        self.dropped = 0

    def start(self) -> None:
        """Begin to answer. Raises NotFound for an interface that does not exist, PortTaken."""
        sockets: list[tuple[socket.socket, Interface]] = []
        try:
            sockets.extend((answering_socket(i.name, i.family), i) for i in self._interfaces)
        except BaseException:
            for sock, _ in sockets:
                sock.close()
            raise
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(
            target=self._serve, args=(sockets,), name="discovery", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and close the sockets; harmless when not started."""
        if self._thread is not None:
            os.write(self._wake_write, b"x")
            self._thread.join()
            self._thread = None
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _serve(self, sockets: list[tuple[socket.socket, Interface]]) -> None:
        ears = [_Ear(own, sock) for sock, own in sockets]
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ, None)
            for ear in ears:
                stack.callback(ear.close)
                selector.register(ear.sock, selectors.EVENT_READ, ear)
            while True:
                for key, _ in selector.select(LOOK_SECONDS):
                    if key.data is None:
                        return
                    for data, sender in waiting(key.data.sock):
                        self._answer(key.data, data, sender)
                for ear in ears:
                    ear.look(selector)

    def _answer(self, ear: _Ear, data: bytes, sender: SocketAddress) -> None:
        try:
            discover = discovery.parse_discover(data)
        except BadPacket:
            self.dropped += 1
            return
        if not ear.limit.allow(sender[0], time.monotonic()):
            self.dropped += 1
            return
        fields = self._offer(ear.own)
        if fields is None:
            return
        offer = Offer(
            discover.nonce,
            self._public,
            fields.url,
            fields.certificate_digest,
            fields.name,
            fields.casts_open,
        )
        with contextlib.suppress(OSError):  # the asker or the link is gone: it will ask again
            ear.sock.sendto(discovery.encode_offer(offer, self._key), sender)
            self.answered += 1
