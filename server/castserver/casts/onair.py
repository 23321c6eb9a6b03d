"""Makes the real senders: a :class:`castcore.edge.cast.sender.CastSender` per cast and interface."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from castcore.edge.cast.blocks import CACHE_BYTES
from castcore.edge.cast.sender import CastSender
from castcore.edge.cast.sendersettings import SenderSettings, link_capacity
from castcore.edge.net import nics
from castcore.edge.net.interface import Interface, find_interface
from castcore.errors import NotFound
from castcore.trust import SigningKey

from castserver.casts.castrun import slot_addresses
from castserver.casts.legrun import CastOptions, Leg, LiveSender, OpenImage
from castserver.casts.linkwatch import LinkWatch
from castserver.casts.wayin import Network


@dataclass(frozen=True)
class Transmitter:
    """Where and how this server casts; ``rate_cap`` in bytes a second for each interface, 0 for none."""

    key: SigningKey
    interfaces: Sequence[Interface]
    rate_cap: int = 0
    ttl: int = 1
    jumbo: bool = False
    polite: bool = False

    def legs(self) -> list[Leg]:
        """A leg for each interface. Raises NotFound when one has just lost its address."""
        return [
            Leg(
                network_of(own),
                partial(self._sender, number),
                LinkWatch(own).lost,
                partial(self._capacity, number),
            )
            for number, own in enumerate(self.interfaces)
        ]

    def _sender(self, leg: int, image: OpenImage, slot: int, options: CastOptions) -> LiveSender:
        """A sender for ``image``. Raises PortTaken or NetworkFailed."""
        return sender_of(image, self.key, self._settings(leg, slot, options))

    def _capacity(self, leg: int) -> float:
        """What all casts together may send on the ``leg``-th interface."""
        own = self.interfaces[leg]
        if self.rate_cap:
            return self.rate_cap
        with suppress(NotFound):  # gone just now; it may be back with another speed
            own = find_interface(own.zoned, own.family)
        return link_capacity(own, self._settings(leg, 0, CastOptions()))

    def _settings(self, leg: int, slot: int, options: CastOptions) -> SenderSettings:
        own = self.interfaces[leg]
        # Part of the key, so that two servers on one network hardly ever share a group.
        group, port, feedback_port = slot_addresses(slot, self.key.public[0], leg, own.family)
        return SenderSettings(
            interface_address=own.zoned,
            group=group,
            port=port,
            feedback_port=feedback_port,
            rate_cap=self.rate_cap,
            ttl=self.ttl,
            jumbo=self.jumbo,
            polite=self.polite,
            peers=options.peers,
            mac=options.mac,
            encrypt=options.encrypt,
            transport=options.transport,
            cache_bytes=CACHE_BYTES // len(self.interfaces),
        )


def network_of(interface: Interface) -> Network:
    """The network that ``interface`` is in by its address. Raises NotFound."""
    subnet = nics.subnet(interface.name, interface.address)
    if subnet is None:
        raise NotFound(f"{interface.name} does not have the address {interface.address} any more")
    return Network(interface.name, interface.address, subnet)


def sender_of(image: OpenImage, key: SigningKey, settings: SenderSettings) -> CastSender:
    """A sender for ``image``, its descriptor signed by ``key``. Raises PortTaken or NetworkFailed."""
    return CastSender(
        image.source,
        name=image.name,
        root=bytes.fromhex(image.root),
        manifest=image.manifest_bytes,
        index=image.index_bytes,
        key=key,
        settings=settings,
    )
