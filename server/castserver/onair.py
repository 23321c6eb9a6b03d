"""Makes the real senders: one :class:`castcore.edge.cast.sender.CastSender` per cast and slot."""

from __future__ import annotations

from dataclasses import dataclass

from castcore.edge.cast.sender import CastSender, SenderSettings
from castcore.trust import SigningKey

from castserver.castrun import CastOptions, LiveSender, OpenImage, slot_addresses


@dataclass(frozen=True)
class Transmitter:
    """Where and how this server casts; ``rate_cap`` in bytes a second, 0 for none."""

    key: SigningKey
    address: str
    rate_cap: int = 0
    ttl: int = 1
    jumbo: bool = False
    polite: bool = False

    def sender(self, image: OpenImage, slot: int, options: CastOptions) -> LiveSender:
        """A sender for ``image``. Raises PortTaken or NetworkFailed."""
        # Part of the key, so that two servers on one network hardly ever share a group.
        group, port, feedback_port = slot_addresses(slot, self.key.public[0])
        settings = SenderSettings(
            interface_address=self.address,
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
        )
        return sender_of(image, self.key, settings)


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
