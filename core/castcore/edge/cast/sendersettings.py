"""Where and how fast one cast is sent, and what follows: keys, its share of the link, its socket."""

from __future__ import annotations

import os
from dataclasses import dataclass

from castcore.cast.constants import HEADER_SIZE, JUMBO_SYMBOL_SIZE, SYMBOL_SIZE
from castcore.cast.protection import Protection
from castcore.cast.states import Transport
from castcore.edge.cast.blocks import CACHE_BYTES
from castcore.edge.cast.multicast import DSCP_LOWER_EFFORT, GroupSender
from castcore.edge.net.interface import Interface
from castcore.errors import NetworkFailed
from castcore.trust import KEY_SIZE

# The share of a link that a cast may fill, alone or beside others' work.
LINK_SHARE, POLITE_SHARE = 0.98, 0.5
DEFAULT_LINK = 10_000


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """Where and how fast to send.

    ``interface_address``: name or address of the interface, of the group's family; ``feedback_port`` 0
    takes any; ``rate_cap`` in bytes a second of UDP payload, 0 for what the link carries. ``ttl``:
    routers to cross, plus 1. ``jumbo``: datagrams for links with an MTU of 9000. ``polite``: half of the
    link, the lowest class of traffic, and way for others at the first loss. ``loop`` lets receivers on
    this host hear us; ``offload`` False sends one datagram a call. ``cache_bytes`` of blocks are kept.
    ``mac`` and ``encrypt``: see :mod:`castcore.cast.protection`. ``peers``: finished clients serve
    chunks to the others. ``transport``: see :class:`castcore.cast.states.Transport`.
    """

    interface_address: str
    group: str
    port: int
    feedback_port: int
    rate_cap: int = 0
    ttl: int = 1
    jumbo: bool = False
    polite: bool = False
    loop: bool = False
    offload: bool = True
    cache_bytes: int = CACHE_BYTES
    mac: bool = False
    encrypt: bool = False
    peers: bool = True
    transport: Transport = Transport.AUTO

    @property
    def symbol_size(self) -> int:
        """Bytes of a symbol."""
        return JUMBO_SYMBOL_SIZE if self.jumbo else SYMBOL_SIZE

    @property
    def datagram_size(self) -> int:
        """Bytes of UDP payload that carry a symbol."""
        return HEADER_SIZE + self.symbol_size


def fresh_protection(settings: SenderSettings) -> Protection:
    """Fresh keys for what the settings ask for."""
    return Protection(
        tag_key=os.urandom(KEY_SIZE) if settings.mac else b"",
        seal_key=os.urandom(KEY_SIZE) if settings.encrypt else b"",
    )


def link_capacity(interface: Interface, settings: SenderSettings) -> float:
    """Bytes a second of UDP payload that the interface's link carries, less what others need."""
    bits = (interface.speed or DEFAULT_LINK) * 1e6
    share = POLITE_SHARE if settings.polite else LINK_SHARE
    size = settings.datagram_size
    return bits / 8 * share * size / (size + interface.frame_overhead)


def open_group(interface: Interface, settings: SenderSettings) -> GroupSender:
    """The socket that sends to the group. Raises NetworkFailed: the MTU is too small."""
    if interface.largest_datagram < settings.datagram_size:
        need = interface.mtu - interface.largest_datagram + settings.datagram_size
        raise NetworkFailed(
            f"{interface.name} has an MTU of {interface.mtu}, the cast's packets have {need} bytes",
            hint="cast without --jumbo" if settings.jumbo else "raise the MTU of the interface",
        )
    return GroupSender(
        interface,
        settings.group,
        settings.port,
        ttl=settings.ttl,
        loop=settings.loop,
        segment=settings.datagram_size,
        offload=settings.offload,
        dscp=DSCP_LOWER_EFFORT if settings.polite else 0,
    )
