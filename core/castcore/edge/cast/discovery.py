"""Discovery on the wire: asking on each wired interface, and the thread that answers for a server."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from castcore.cast import discovery
from castcore.cast.discovery import Discover, Offer
from castcore.edge import dmi
from castcore.edge.net import nics
from castcore.errors import BadPacket, NetworkFailed, NotFound, PortTaken
from castcore.trust import SigningKey

ASK_SECONDS = 1.0
# Five hundred clients ask once a second while they look for a server; signing an answer takes 0.1 ms.
MOST_ANSWERS_PER_SECOND = 1000
MOST_ANSWERS_PER_SENDER = 4
# One socket is read at most this often before the others get their turn.
_BATCH = 64
_IP_MULTICAST_ALL = 49
_IP_MREQN = struct.Struct("=4s4si")


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server that answered on ``interface``, proven to hold ``key``."""

    url: str
    key: bytes
    certificate_digest: bytes
    name: str
    interface: str
    casts_open: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfferFields:
    """What a server puts into its OFFERs; at most ``discovery.MOST_CASTS`` open casts are named."""

    url: str
    certificate_digest: bytes
    name: str
    casts_open: tuple[str, ...] = ()


def find_servers(
    interfaces: Sequence[str] | None = None,
    *,
    seconds: float,
    expected_key: bytes | None = None,
) -> list[FoundServer]:
    """The servers that answer within ``seconds``, asked once a second on each interface (name).

    Default: every wired interface that has an IPv4 address. With ``expected_key`` only that server
    counts and is returned at once. Answers that are malformed or not to our question are dropped.
    """
    names = [n.name for n in nics.wired()] if interfaces is None else interfaces
    identity = dmi.machine().uuid
    client = uuid.UUID(identity).bytes if identity else bytes(discovery.UUID_SIZE)
    discover = Discover(client, os.urandom(discovery.NONCE_SIZE))
    found: dict[bytes, FoundServer] = {}
    with contextlib.ExitStack() as stack:
        sockets = {n: stack.enter_context(s) for n in names if (s := _asking_socket(n))}
        end = time.monotonic() + seconds
        for interface, data in _ask(sockets, discovery.encode_discover(discover), end):
            server = _accept(data, discover, interface, expected_key)
            if server is not None:
                found.setdefault(server.key, server)
                if expected_key is not None:
                    break
    return list(found.values())


def _accept(
    data: bytes, discover: Discover, interface: str, expected_key: bytes | None
) -> FoundServer | None:
    """The server that sent ``data``; None when it is no OFFER, not to us, or not the expected one."""
    try:
        offer = discovery.parse_offer(data)
    except BadPacket:
        return None
    if offer.nonce != discover.nonce or expected_key not in (None, offer.server_key):
        return None
    return FoundServer(
        offer.url,
        offer.server_key,
        offer.certificate_digest,
        offer.name,
        interface,
        offer.casts_open,
    )


def _ask(sockets: dict[str, socket.socket], question: bytes, end: float) -> Iterator[tuple[str, bytes]]:
    """Send ``question`` once a second until ``end``; yield (interface, datagram) of what comes back."""
    with selectors.DefaultSelector() as selector:
        for name, sock in sockets.items():
            selector.register(sock, selectors.EVENT_READ, name)
        ask_at = time.monotonic()
        while (now := time.monotonic()) < end:
            if now >= ask_at:
                ask_at = now + ASK_SECONDS
                for sock in sockets.values():
                    with contextlib.suppress(OSError):  # the link or address just went away
                        sock.sendto(question, (discovery.GROUP, discovery.PORT))
            for key, _ in selector.select(max(0.0, min(ask_at, end) - now)):
                for data, _sender in _waiting(sockets[key.data]):
                    yield key.data, data


def _asking_socket(interface: str) -> socket.socket | None:
    """A socket that asks on ``interface``; None when it has no address now."""
    address = nics.ipv4_address(interface)
    if not address:
        return None
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        index = socket.if_nametoindex(interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _mreqn("0.0.0.0", index))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.bind((address, 0))
        sock.settimeout(0)
    except OSError:
        sock.close()
        return None
    return sock


class AnswerLimit:
    """How many answers go out per second, in all and to one sender: a flood gains nothing."""

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


class DiscoveryResponder:
    """A thread that answers every DISCOVER on ``interfaces`` with what ``offer`` returns just then.

    ``answered`` and ``dropped`` count datagrams (dropped: malformed, or over the limit).
    """

    def __init__(
        self, offer: Callable[[], OfferFields], key: SigningKey, interfaces: Sequence[str]
    ) -> None:
        self._offer, self._key, self._interfaces = offer, key, tuple(interfaces)
        self._public = key.public
        self._limit = AnswerLimit()
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = -1, -1
        self.answered = 0
        self.dropped = 0

    def start(self) -> None:
        """Begin to answer. Raises NotFound for an interface that does not exist, PortTaken."""
        sockets: list[socket.socket] = []
        try:
            sockets.extend(_answering_socket(name) for name in self._interfaces)
        except BaseException:
            for sock in sockets:
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

    def _serve(self, sockets: list[socket.socket]) -> None:
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ, None)
            for sock in sockets:
                selector.register(stack.enter_context(sock), selectors.EVENT_READ, sock)
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        return
                    for data, sender in _waiting(key.data):
                        self._answer(key.data, data, sender)

    def _answer(self, sock: socket.socket, data: bytes, sender: tuple[str, int]) -> None:
        try:
            discover = discovery.parse_discover(data)
        except BadPacket:
            self.dropped += 1
            return
        if not self._limit.allow(sender[0], time.monotonic()):
            self.dropped += 1
            return
        fields = self._offer()
        offer = Offer(
            discover.nonce,
            self._public,
            fields.url,
            fields.certificate_digest,
            fields.name,
            fields.casts_open,
        )
        with contextlib.suppress(OSError):  # the asker or the link is gone: it will ask again
            sock.sendto(discovery.encode_offer(offer, self._key), sender)
            self.answered += 1


def _answering_socket(interface: str) -> socket.socket:
    try:
        index = socket.if_nametoindex(interface)
    except OSError:
        raise NotFound(
            f"no network interface {interface}", hint="`ip link` lists the interfaces"
        ) from None
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Hear and answer on this interface only: the asker may have an address of another network.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        sock.bind((discovery.GROUP, discovery.PORT))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _mreqn(discovery.GROUP, index))
        sock.settimeout(0)
    except OSError as error:
        sock.close()
        if isinstance(error, PermissionError):
            raise NetworkFailed(
                f"cannot answer on {interface}: {error.strerror}", hint="run this as root"
            ) from None
        raise PortTaken(
            f"UDP port {discovery.PORT} on {interface} cannot be used: {error.strerror}",
            hint=f"`ss -lunp sport = :{discovery.PORT}` shows which program has it",
        ) from None
    return sock


def _mreqn(group: str, index: int) -> bytes:
    return _IP_MREQN.pack(socket.inet_aton(group), bytes(4), index)


def _waiting(sock: socket.socket) -> Iterator[tuple[bytes, tuple[str, int]]]:
    """The datagrams waiting at ``sock``, at most _BATCH; an outsize one is a byte over the limit."""
    for _ in range(_BATCH):
        try:
            data, sender = sock.recvfrom(discovery.MOST_BYTES + 1)
        except OSError:  # nothing more, or an ICMP error of an earlier send
            return
        yield data, sender
