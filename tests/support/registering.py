"""Registers machines that no client runs on, as a client does: with a key of its own and a proof."""

from __future__ import annotations

from castclient.link import ServerLink
from castcore.control import Registration
from castcore.edge.cast.discovery import FoundServer
from castcore.edge.net.pinned import PinnedHttps
from castcore.trust import SigningKey


def registered(
    https: PinnedHttps, about: Registration, key: SigningKey | None = None
) -> tuple[str, PinnedHttps]:
    """The id of the machine at the server that ``https`` leads to, and its own connection there."""
    server = FoundServer(https.url, b"", https.certificate_digest, "", "")
    link = ServerLink(server, key or SigningKey.generate())
    return link.register(about).client, link.https
