"""Finding the server: the one we were told of first, then whoever answers on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from castcore.edge.cast.discovery import FoundServer, find_places, find_servers
from castcore.edge.net import nics
from castcore.edge.net.pinned import fetch_statement, host_and_port, zoned
from castcore.errors import FleetcastError

from castclient.settings import Settings

TOLD_TIMEOUT = 3.0
# Two questions: a server that misses the first answers the second, and a second server shows up too.
ASK_SECONDS = 2.0


def look(settings: Settings, say: Callable[[str], None]) -> tuple[FoundServer, ...]:
    """One round of looking, a few seconds long: the servers that can be followed.

    One means follow it; several mean that a person must choose.
    """
    if not _has_address(settings.interfaces):
        return ()
    if settings.server_url and settings.server_key is not None:
        for url in ways(settings.server_url, _names(settings.interfaces)):
            told = _told(url, settings.server_key, say)
            if told is not None:
                return (told,)
    found = find_servers(settings.interfaces, seconds=ASK_SECONDS, expected_key=settings.server_key)
    return followable(found, settings.server_url)


def elsewhere(settings: Settings, server: FoundServer, *, failed: bool = False) -> FoundServer | None:
    """The ``server`` at another address or through another interface, if it answers there now.

    None while it answers where it was, too, unless it has ``failed`` there; then all others in turn.
    """
    found = find_places(settings.interfaces, seconds=ASK_SECONDS, expected_key=server.key)
    same = [s for s in found if s.certificate_digest == server.certificate_digest]
    moved = sorted((s for s in same if _place(s) != _place(server)), key=_place)
    if not moved or (len(moved) < len(same) and not failed):
        return None
    return next((s for s in moved if _place(s) > _place(server)), moved[0])


def _place(server: FoundServer) -> tuple[str, str]:
    return server.url, server.interface


def followable(found: Iterable[FoundServer], told_url: str) -> tuple[FoundServer, ...]:
    """Of the servers ``found``: the one that booted us if it is among them, else all, by name."""
    servers = tuple(sorted(found, key=lambda s: (s.name, s.url)))
    booted_us = tuple(s for s in servers if told_url and _same(s.url, told_url))
    return booted_us if len(booted_us) == 1 else servers


def _names(interfaces: tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(n.name for n in nics.wired()) if interfaces is None else interfaces


def _has_address(interfaces: tuple[str, ...] | None) -> bool:
    """Does any interface have an address yet? Without one there is nobody to ask."""
    names = _names(interfaces)
    return any(nics.ipv4_address(name) or nics.ipv6_addresses(name) for name in names)


def ways(url: str, interfaces: Iterable[str]) -> tuple[str, ...]:
    """``url`` by each of the ``interfaces`` if it is link-local and names none, else as it is."""
    if "%" in url:
        return (url,)
    return tuple(dict.fromkeys(zoned(url, name) for name in interfaces)) or (url,)


def _told(url: str, key: bytes, say: Callable[[str], None]) -> FoundServer | None:
    """The server at ``url``, proven to hold ``key``; None when it is not there (yet)."""
    try:
        statement = fetch_statement(url, key, timeout=TOLD_TIMEOUT)
        host, port = host_and_port(url)
    except FleetcastError as error:
        say(error.what)
        return None
    interface = nics.interface_with(nics.address_towards(host, port))
    return FoundServer(url, key, statement.certificate_digest, statement.name, interface)


def _same(one: str, other: str) -> bool:
    return one.rstrip("/").lower() == other.rstrip("/").lower()
