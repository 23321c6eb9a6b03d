"""How client and server find each other: DISCOVER to a fixed multicast group, a signed OFFER back.

Wire format (``PROTOCOL.md``), big-endian, over UDP by IPv4 and IPv6 alike. Every malformed datagram
raises BadPacket.
A DISCOVER is padded to the size of the largest OFFER, so that a forged sender address gains an
attacker nothing (no amplification).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from castcore.errors import BadPacket, Untrusted
from castcore.trust import KEY_SIZE, SIGNATURE_SIZE, SigningKey, verify

GROUP = "239.192.70.70"
# Transient and link-local (RFC 4291, 2.7): never routed, and every IPv6 interface can reach it.
GROUP_IPV6 = "ff12::fc:4646"
PORT = 7070
NONCE_SIZE = 16
UUID_SIZE = 16
CERTIFICATE_DIGEST_SIZE = 32
MOST_BYTES = 768
MOST_URL = 255
MOST_NAME = 64
MOST_CAST_ID = 36
MOST_CASTS = 4

# Version 1 in the high nibble, message type 14 or 15 in the low one.
_VT_DISCOVER = 0x1E
_VT_OFFER = 0x1F
_PURPOSE = "offer"

# vt, three bytes that are zero, the client's UUID, a nonce; zeros up to MOST_BYTES follow.
_DISCOVER = struct.Struct(">B3x16s16s")
# vt, a zero byte, number of cast ids, the DISCOVER's nonce, server key, SHA-256 of its certificate;
# then URL, name and the cast ids, each a length byte and UTF-8; then the signature of all before it.
_OFFER = struct.Struct(">BxH16s32s32s")


@dataclass(frozen=True, slots=True)
class Discover:
    """A client asks who is there. ``client_uuid`` is its DMI UUID (zeros when it has none)."""

    client_uuid: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Offer:
    """A server's answer to the DISCOVER with this ``nonce``.

    ``certificate_digest`` is the SHA-256 of its TLS certificate; ``casts_open`` names up to
    ``MOST_CASTS`` casts that can be joined.
    """

    nonce: bytes
    server_key: bytes
    url: str
    certificate_digest: bytes
    name: str
    casts_open: tuple[str, ...] = ()


def encode_discover(discover: Discover) -> bytes:
    """``discover`` as a datagram of MOST_BYTES bytes."""
    head = _DISCOVER.pack(_VT_DISCOVER, discover.client_uuid, discover.nonce)
    return head.ljust(MOST_BYTES, b"\0")


def parse_discover(data: bytes) -> Discover:
    """The DISCOVER in ``data``. Raises BadPacket."""
    if len(data) != MOST_BYTES or data[0] != _VT_DISCOVER:
        raise BadPacket("not a DISCOVER of version 1")
    _, client_uuid, nonce = _DISCOVER.unpack_from(data)
    return Discover(client_uuid, nonce)


def encode_offer(offer: Offer, key: SigningKey) -> bytes:
    """``offer`` signed by ``key``, as a datagram. Raises ValueError when a text is over its limit."""
    casts = offer.casts_open[:MOST_CASTS]
    head = _OFFER.pack(_VT_OFFER, len(casts), offer.nonce, offer.server_key, offer.certificate_digest)
    texts = [_text(offer.url, MOST_URL), _text(offer.name, MOST_NAME)]
    texts += [_text(cast, MOST_CAST_ID) for cast in casts]
    body = head + b"".join(texts)
    return body + key.sign(_PURPOSE, body)


def parse_offer(data: bytes) -> Offer:
    """The OFFER in ``data``, its signature checked against the key it names. Raises BadPacket.

    That proves the sender holds that key, not that the key is the one the caller trusts.
    """
    if not _OFFER.size + SIGNATURE_SIZE <= len(data) <= MOST_BYTES or data[0] != _VT_OFFER:
        raise BadPacket("not an OFFER of version 1")
    body, signature = data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:]
    _, count, nonce, key, certificate = _OFFER.unpack_from(body)
    if count > MOST_CASTS:
        raise BadPacket(f"an OFFER naming {count} casts, over the limit of {MOST_CASTS}")
    texts, position = [], _OFFER.size
    for limit in (MOST_URL, MOST_NAME, *[MOST_CAST_ID] * count):
        text, position = _read_text(body, position, limit)
        texts.append(text)
    if position != len(body):
        raise BadPacket("an OFFER with bytes after its last field")
    try:
        verify(key, _PURPOSE, body, signature)
    except Untrusted:
        raise BadPacket("an OFFER that is not signed by the key it names") from None
    return Offer(nonce, key, texts[0], certificate, texts[1], tuple(texts[2:]))


def _text(text: str, limit: int) -> bytes:
    data = text.encode()
    if len(data) > limit:
        raise ValueError(f"{text!r} has {len(data)} bytes, over the limit of {limit}")
    return bytes([len(data)]) + data


def _read_text(body: bytes, position: int, limit: int) -> tuple[str, int]:
    length = body[position] if position < len(body) else limit + 1
    start, end = position + 1, position + 1 + length
    if length > limit or end > len(body):
        raise BadPacket("an OFFER whose text is cut short or too long")
    try:
        return body[start:end].decode(), end
    except UnicodeDecodeError:
        raise BadPacket("an OFFER whose text is not UTF-8") from None


assert KEY_SIZE == 32
assert (
    _OFFER.size + (MOST_URL + 1) + (MOST_NAME + 1) + MOST_CASTS * (MOST_CAST_ID + 1) + SIGNATURE_SIZE
    <= MOST_BYTES
)
