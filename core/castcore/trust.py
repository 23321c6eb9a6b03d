"""Keys, signatures and the hash: Ed25519 (RFC 8032) and BLAKE3, behind a few names.

A signature always covers ``purpose`` too, so that a signed manifest can never pass for a signed
OFFER, beacon or descriptor.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from castcore.errors import Untrusted

DIGEST_SIZE = 32
KEY_SIZE = 32
SIGNATURE_SIZE = 64


def digest(data: bytes | bytearray | memoryview) -> bytes:
    """BLAKE3 of ``data``, 32 bytes."""
    return blake3(data).digest()


def short_digest(data: bytes | bytearray | memoryview, size: int) -> bytes:
    """The first ``size`` bytes of BLAKE3 of ``data``."""
    return blake3(data).digest(length=size)


def keyed_tag(key: bytes, data: bytes | bytearray | memoryview, size: int = 16) -> bytes:
    """The first ``size`` bytes of BLAKE3 of ``data`` keyed with ``key`` (32 bytes)."""
    return blake3(data, key=key).digest(length=size)


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 private key; ``seed`` is its 32 secret bytes."""

    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key from the system's random source."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    def sign(self, purpose: str, message: bytes) -> bytes:
        """The 64-byte signature of ``message`` for ``purpose``."""
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        return key.sign(_bound(purpose, message))


def verify(public: bytes, purpose: str, message: bytes, signature: bytes) -> None:
    """Return if ``signature`` is of ``message`` for ``purpose`` by ``public``; else raise Untrusted."""
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(signature, _bound(purpose, message))
    except (InvalidSignature, ValueError):
        raise Untrusted(f"the signature on the {purpose} is not by the expected key") from None


def _bound(purpose: str, message: bytes) -> bytes:
    return b"fleetcast " + purpose.encode() + b"\0" + message
