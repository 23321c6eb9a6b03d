"""The cast descriptor: what a client must know of a cast before it joins, signed by the server."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict, dataclass, fields
from typing import Any

from castcore import canonical
from castcore.cast.constants import SYMBOL_SIZES, VERSION
from castcore.errors import BadPacket, Untrusted
from castcore.trust import DIGEST_SIZE, KEY_SIZE, SIGNATURE_SIZE, SigningKey, verify

PURPOSE = "cast descriptor"
SIZE_MAX = 16 * 1024


@dataclass(frozen=True, slots=True)
class CastDescriptor:
    """One running cast.

    ``root`` is the image's root (the digest of its index), ``manifest_digest`` BLAKE3 of the manifest,
    ``lengths_digest`` that of the stored lengths (:func:`castcore.cast.blocks.lengths_digest`);
    ``server_key`` signs this, ``session_key`` (public) the control packets. ``group``:``port`` is
    where data goes, ``feedback`` ("address:port", an IPv6 address in brackets) where clients answer.
    ``mac``: every datagram carries a tag; ``encrypt``: chunks travel sealed; ``unicast``: everything by
    unicast.
    """

    session: int
    name: str
    server_key: bytes
    session_key: bytes
    root: bytes
    manifest_digest: bytes
    lengths_digest: bytes
    chunk_count: int
    stored_bytes: int
    symbol_size: int
    group: str
    port: int
    feedback: str
    mac: bool = False
    encrypt: bool = False
    unicast: bool = False

    @property
    def feedback_address(self) -> tuple[str, int]:
        """Where clients send feedback: address and UDP port (0: none was given)."""
        host, _, port = self.feedback.rpartition(":")
        number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0
        return host.removeprefix("[").removesuffix("]"), number


_SIZES = {
    "server_key": KEY_SIZE,
    "session_key": KEY_SIZE,
    "root": DIGEST_SIZE,
    "manifest_digest": DIGEST_SIZE,
    "lengths_digest": DIGEST_SIZE,
}
_SWITCHES = ("mac", "encrypt", "unicast")
_LIMITS = {
    "session": 1 << 32,
    "chunk_count": 1 << 32,
    "stored_bytes": 1 << 63,
    "symbol_size": 1 << 16,
    "port": 1 << 16,
}


def encode_descriptor(descriptor: CastDescriptor, key: SigningKey) -> bytes:
    """The signed document: canonical JSON holding the descriptor and its signature."""
    value = asdict(descriptor) | {"version": VERSION}
    value |= {name: getattr(descriptor, name).hex() for name in _SIZES}
    signature = key.sign(PURPOSE, canonical.encode(value))
    return canonical.encode({"descriptor": value, "signature": signature.hex()})


def open_descriptor(data: bytes, server_key: bytes) -> CastDescriptor:
    """The descriptor in ``data``, signed by ``server_key``.

    Raises BadPacket when it is malformed or of another version, Untrusted when another key signed it.
    """
    document = canonical.decode(data, limit=SIZE_MAX)
    if not isinstance(document, dict) or not isinstance(document.get("descriptor"), dict):
        raise BadPacket("not a cast descriptor")
    value = document["descriptor"]
    signature = _octets(document.get("signature"), SIGNATURE_SIZE)
    verify(server_key, PURPOSE, canonical.encode(value), signature)
    if value.get("version") != VERSION:
        raise BadPacket(f"a cast of protocol version {value.get('version')!r}; this is {VERSION}")
    descriptor = CastDescriptor(
        **{f.name: _field(f.name, value.get(f.name)) for f in fields(CastDescriptor)}
    )
    if descriptor.server_key != server_key:
        raise Untrusted("the cast descriptor names another server key than the one that signed it")
    if descriptor.symbol_size not in SYMBOL_SIZES:
        raise BadPacket(f"a cast with symbols of {descriptor.symbol_size} bytes, not of {SYMBOL_SIZES}")
    _check_addresses(descriptor)
    return descriptor


def _field(name: str, value: Any) -> Any:
    if name in _SIZES:
        return _octets(value, _SIZES[name])
    if name in _LIMITS:
        if type(value) is not int or not 0 <= value < _LIMITS[name]:
            raise BadPacket(f"a cast descriptor whose {name} is {value!r}")
        return value
    kind = bool if name in _SWITCHES else str
    if type(value) is not kind:
        raise BadPacket(f"a cast descriptor whose {name} is {value!r}")
    return value


def _check_addresses(descriptor: CastDescriptor) -> None:
    """Group and feedback address must be of one family, and ports must be ports."""
    host, port = descriptor.feedback_address
    try:
        group, feedback = ipaddress.ip_address(descriptor.group), ipaddress.ip_address(host)
    except ValueError:
        raise BadPacket("a cast descriptor whose addresses are none") from None
    if not group.is_multicast or group.version != feedback.version or not 0 < port < 1 << 16:
        raise BadPacket(f"a cast descriptor with {descriptor.group} and {descriptor.feedback}")


def _octets(value: Any, size: int) -> bytes:
    try:
        octets = bytes.fromhex(value)
    except (TypeError, ValueError):
        raise BadPacket("a cast descriptor with a value that is no hex") from None
    if len(octets) != size:
        raise BadPacket(f"a cast descriptor with {len(octets)} bytes where {size} belong")
    return octets
