"""Listening for an IGMP or MLD querier beside a cast, and being one where there is none.

A raw socket in a thread of its own: it hears queries, and says nothing unless told to ask itself.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

from castcore.cast.membership import (
    QUERY_SECONDS,
    WATCH_SECONDS,
    Querier,
    QuerierWatch,
    igmp_general_query,
    is_igmp_query,
    is_mld_query,
    mld_general_query,
)
from castcore.edge.net import nics
from castcore.edge.net.interface import Interface
from castcore.errors import BadPacket, NetworkFailed

ALL_HOSTS = {socket.AF_INET: "224.0.0.1", socket.AF_INET6: "ff02::1"}
_MESSAGE_MAX = 2048
_ICMP6_FILTER = 1
_IPV6_HOPOPTS = 54
_MREQN = struct.Struct("=4s4si")
# Routers and switches look into packets with this option (RFC 2113; RFC 2711: value 0 is MLD).
_ROUTER_ALERT_IPV4 = bytes((0x94, 4, 0, 0))
_ROUTER_ALERT_IPV6 = bytes((0, 0, 5, 2, 0, 0, 1, 0))

NONE_SEEN = (
    "no IGMP/MLD querier was heard on {name} in {seconds:.0f} s: a switch that snoops will stop the"
    " stream after some minutes; switch on its querier, or give --querier"
)


class QuerierListener:
    """Watches ``interface``; ``warn`` is told once when there is no querier.

    ``ask``: be the querier while nobody else is (one General Query a minute, the first at once).
    Raises NetworkFailed without the right to raw sockets.
    """

    def __init__(self, interface: Interface, warn: Callable[[str], None], *, ask: bool = False) -> None:
        self._interface, self._warn, self._ask = interface, warn, ask
        self._socket = _raw_socket(interface, ask=ask)
        self._watch = QuerierWatch(time.monotonic())
        self._asked: float | None = None
        self._warned = False
        self._wake, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, name="querier", daemon=True)
        self._thread.start()

    def verdict(self) -> Querier:
        """What is known by now."""
        return self._watch.verdict(time.monotonic())

    def close(self) -> None:
        """Stop listening."""
        os.write(self._stop, b"x")
        self._thread.join()
        self._socket.close()
        os.close(self._wake)
        os.close(self._stop)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select(1.0)}
                if self._wake in ready:
                    return
                if ready:
                    self._hear()
                self._act(time.monotonic())

    def _hear(self) -> None:
        is_query = is_mld_query if self._interface.family is socket.AF_INET6 else is_igmp_query
        try:
            if is_query(self._socket.recv(_MESSAGE_MAX)):
                self._watch.heard(time.monotonic())
        except (BadPacket, OSError):
            return

    def _act(self, now: float) -> None:
        verdict = self._watch.verdict(now)
        if self._ask:
            if verdict is not Querier.SEEN and (
                self._asked is None or now - self._asked >= QUERY_SECONDS
            ):
                self._asked = now
                self._query()
        elif verdict is Querier.NONE and not self._warned:
            self._warned = True
            self._warn(NONE_SEEN.format(name=self._interface.name, seconds=WATCH_SECONDS))

    def _query(self) -> None:
        family = self._interface.family
        query = mld_general_query() if family is socket.AF_INET6 else igmp_general_query()
        try:
            self._socket.sendto(query, (ALL_HOSTS[family], 0))
        except OSError:  # no link just now: asked again in a minute
            return


def _raw_socket(interface: Interface, *, ask: bool) -> socket.socket:
    six = interface.family is socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_IGMP
    try:
        sock = socket.socket(interface.family, socket.SOCK_RAW, protocol)
    except PermissionError:
        raise NetworkFailed(
            f"cannot listen for a querier on {interface.name}", hint="run this as root"
        ) from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.name.encode() + b"\0")
        (_prepare_ipv6 if six else _prepare_ipv4)(sock, interface, ask=ask)
        sock.setblocking(False)  # noqa: FBT003 (the socket module's own signature)
    except OSError as error:
        sock.close()
        raise NetworkFailed(
            f"cannot listen for a querier on {interface.name}: {error.strerror}"
        ) from None
    return sock


def _prepare_ipv4(sock: socket.socket, interface: Interface, *, ask: bool) -> None:
    if not ask:
        return
    via = _MREQN.pack(bytes(4), socket.inet_aton(interface.address), interface.index)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, via)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
    # Our own question must not look like another querier's.
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, _ROUTER_ALERT_IPV4)


def _prepare_ipv6(sock: socket.socket, interface: Interface, *, ask: bool) -> None:
    # Only MLD queries pass: 256 bits, a set one blocks its type (RFC 3542, 3.2).
    blocked = bytearray(b"\xff" * 32)
    blocked[130 // 32 * 4 : 130 // 32 * 4 + 4] = (0xFFFFFFFF & ~(1 << 130 % 32)).to_bytes(
        4, sys.byteorder
    )
    sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(blocked))
    if not ask:
        return
    # MLD speaks from the link-local address (RFC 2710, 3).
    own = next((a for a in nics.ipv6_addresses(interface.name) if a.startswith("fe80:")), "")
    sock.bind((own, 0, 0, interface.index))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_HOPOPTS, _ROUTER_ALERT_IPV6)
