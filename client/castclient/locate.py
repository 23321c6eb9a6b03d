"""Finding the server: the one we were told of first, then whoever answers on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from castcore.edge.cast.discovery import FoundServer, find_servers
from castcore.edge.net import nics
from castcore.edge.net.pinned import fetch_statement
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
        told = _told(settings.server_url, settings.server_key, say)
        if told is not None:
            return (told,)
    found = find_servers(settings.interfaces, seconds=ASK_SECONDS, expected_key=settings.server_key)
    return followable(found, settings.server_url)


def followable(found: Iterable[FoundServer], told_url: str) -> tuple[FoundServer, ...]:
    """Of the servers ``found``: the one that booted us if it is among them, else all, by name."""
    servers = tuple(sorted(found, key=lambda s: (s.name, s.url)))
    booted_us = tuple(s for s in servers if told_url and _same(s.url, told_url))
    return booted_us if len(booted_us) == 1 else servers


def _has_address(interfaces: tuple[str, ...] | None) -> bool:
    """Does any interface have an address yet? Without one there is nobody to ask."""
    names = (n.name for n in nics.wired()) if interfaces is None else interfaces
    return any(nics.ipv4_address(name) for name in names)


def _told(url: str, key: bytes, say: Callable[[str], None]) -> FoundServer | None:
    """The server at ``url``, proven to hold ``key``; None when it is not there (yet)."""
    try:
        statement = fetch_statement(url, key, timeout=TOLD_TIMEOUT)
    except FleetcastError as error:
        say(error.what)
        return None
    parts = urlsplit(url)
    interface = nics.interface_with(nics.address_towards(parts.hostname or "", parts.port or 443))
    return FoundServer(url, key, statement.certificate_digest, statement.name, interface)


def _same(one: str, other: str) -> bool:
    return one.rstrip("/").lower() == other.rstrip("/").lower()
