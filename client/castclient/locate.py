"""Finding the server: the one we were told of first, then whoever answers on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from castcore.edge.cast.discovery import FoundServer, find_places, find_servers
from castcore.edge.net import nics
from castcore.edge.net.pinned import fetch_statement, host_and_port, zoned
from castcore.errors import FleetcastError

from castclient import cards
from castclient.settings import Settings

TOLD_TIMEOUT = 3.0
# Two questions: a server that misses the first answers the second, and a second server shows up too.
ASK_SECONDS = 2.0


def look(settings: Settings, say: Callable[[str], None]) -> tuple[FoundServer, ...]:
    """One round of looking, a few seconds long: the servers that can be followed.

    One means follow it; several mean that a person must choose.
    """
    names = _with_addresses(settings)
    if not names:
        return ()
    if settings.server_url and settings.server_key is not None:
        tries = ways(settings.server_url, names, bound=settings.bring_up)
        told = _first_told(tries, settings.server_key, say)
        if told is not None:
            return (told,)
    found = find_servers(names, seconds=ASK_SECONDS, expected_key=settings.server_key)
    return followable(found, settings.server_url)


def elsewhere(settings: Settings, server: FoundServer, *, failed: bool = False) -> FoundServer | None:
    """The ``server`` at another address or through another interface, if it answers there now.

    None while it answers where it was, too, unless it has ``failed`` there; then all others in turn.
    """
    names = cards.names(settings)
    found = find_places(names, seconds=ASK_SECONDS, expected_key=server.key)
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


def _with_addresses(settings: Settings) -> tuple[str, ...]:
    """The interfaces that have an address: without one there is nobody to ask."""
    names = cards.names(settings)
    return tuple(name for name in names if nics.ipv4_address(name) or nics.ipv6_addresses(name))


def ways(url: str, interfaces: Iterable[str], *, bound: bool = False) -> tuple[tuple[str, str], ...]:
    """The ways to the server at ``url``: what to call, and the interface to leave by ("": as routed).

    ``bound`` (our machine): through each of the ``interfaces``, as any may be the only one that leads
    there. Else as it is routed; a link-local address through each, if it names none itself.
    """
    if "%" in url:
        return ((url, ""),)
    zones = [(zoned(url, name), name if bound else "") for name in interfaces]
    return tuple(dict.fromkeys(zones)) or ((url, ""),)


def _first_told(
    tries: Sequence[tuple[str, str]], key: bytes, say: Callable[[str], None]
) -> FoundServer | None:
    """The server by the first way that has it, all tried at once; None when none has (yet)."""
    pool = ThreadPoolExecutor(len(tries), thread_name_prefix="told")
    errors = []
    try:
        for done in as_completed([pool.submit(_told, url, key, name) for url, name in tries]):
            try:
                return done.result()
            except FleetcastError as error:
                errors.append(error.what)
    finally:
        pool.shutdown(wait=False)
    for text in dict.fromkeys(errors):
        say(text)
    return None


def _told(url: str, key: bytes, interface: str) -> FoundServer:
    """The server at ``url``, proven to hold ``key``. Raises FleetcastError when it is not there yet."""
    statement = fetch_statement(url, key, timeout=TOLD_TIMEOUT, interface=interface)
    host, port = host_and_port(url)
    on = interface or nics.interface_with(nics.address_towards(host, port))
    return FoundServer(url, key, statement.certificate_digest, statement.name, on)


def _same(one: str, other: str) -> bool:
    return one.rstrip("/").lower() == other.rstrip("/").lower()
