"""Looking for servers: asking on each wired interface, over IPv4 and IPv6, and hearing who answers."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from castcore.cast import discovery
from castcore.cast.discovery import Discover
from castcore.edge import dmi
from castcore.edge.cast.discoverysockets import asking_sockets, waiting
from castcore.edge.net import nics
from castcore.edge.net.interface import SocketAddress
from castcore.edge.net.pinned import zoned
from castcore.errors import BadPacket

ASK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server that answered on ``interface``, proven to hold ``key``.

    A link-local address in ``url`` has the interface as its zone.
    """

    url: str
    key: bytes
    certificate_digest: bytes
    name: str
    interface: str
    casts_open: tuple[str, ...] = ()


# An interface's name, the socket that asks on it, and where that sends to.
_Asker = tuple[str, socket.socket, SocketAddress]


def find_servers(
    interfaces: Sequence[str] | None = None,
    *,
    seconds: float,
    expected_key: bytes | None = None,
) -> list[FoundServer]:
    """The servers that answer within ``seconds``, asked once a second on each interface (name).

    Default: every wired interface that has an address. With ``expected_key`` only that server counts
    and is returned at once. Answers that are malformed or not to our question are dropped.
    """
    found: dict[bytes, FoundServer] = {}
    with contextlib.closing(_answers(interfaces, seconds, expected_key)) as answers:
        for server in answers:
            found.setdefault(server.key, server)
            if expected_key is not None:
                break
    return list(found.values())


def find_places(
    interfaces: Sequence[str] | None = None, *, seconds: float, expected_key: bytes
) -> list[FoundServer]:
    """Everywhere that the server with ``expected_key`` answers within ``seconds``: each URL on each
    interface once. Asks as `find_servers` does.
    """
    with contextlib.closing(_answers(interfaces, seconds, expected_key)) as answers:
        return list({(server.url, server.interface): server for server in answers}.values())


def _answers(
    interfaces: Sequence[str] | None, seconds: float, expected_key: bytes | None
) -> Generator[FoundServer, None, None]:
    names = [n.name for n in nics.wired()] if interfaces is None else interfaces
    identity = dmi.machine().uuid
    client = uuid.UUID(identity).bytes if identity else bytes(discovery.UUID_SIZE)
    discover = Discover(client, os.urandom(discovery.NONCE_SIZE))
    with contextlib.ExitStack() as stack:
        askers = [
            (name, stack.enter_context(sock), to) for name in names for sock, to in asking_sockets(name)
        ]
        end = time.monotonic() + seconds
        for interface, data in _ask(askers, discovery.encode_discover(discover), end):
            server = _accept(data, discover, interface, expected_key)
            if server is not None:
                yield server


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
        zoned(offer.url, interface),
        offer.server_key,
        offer.certificate_digest,
        offer.name,
        interface,
        offer.casts_open,
    )


def _ask(askers: Sequence[_Asker], question: bytes, end: float) -> Iterator[tuple[str, bytes]]:
    """Send ``question`` once a second until ``end``; yield (interface, datagram) of what comes back."""
    with selectors.DefaultSelector() as selector:
        for asker in askers:
            selector.register(asker[1], selectors.EVENT_READ, asker)
        ask_at = time.monotonic()
        while (now := time.monotonic()) < end:
            if now >= ask_at:
                ask_at = now + ASK_SECONDS
                for _, sock, to in askers:
                    with contextlib.suppress(OSError):  # the link or address just went away
                        sock.sendto(question, to)
            for key, _ in selector.select(max(0.0, min(ask_at, end) - now)):
                name, sock, _ = key.data
                for data, _sender in waiting(sock):
                    yield name, data
