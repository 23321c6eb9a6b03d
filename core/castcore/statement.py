"""What a server says of itself: its key, its TLS certificate, its URL, signed by that key.

A client that was given only a URL and an Ed25519 key (``trust.json`` in the boot image) connects,
reads this over the connection, and then knows by the signature that the certificate it was shown is
the server's own. An OFFER says the same by multicast (:mod:`castcore.cast.discovery`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from castcore import canonical
from castcore.errors import BadPacket, Untrusted
from castcore.trust import KEY_SIZE, SIGNATURE_SIZE, SigningKey, verify

PURPOSE = "server statement"
PATH = "/api/v1/server"
CERTIFICATE_DIGEST_SIZE = 32
MOST_BYTES = 4096
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ServerStatement:
    """``key`` is the Ed25519 public key; ``certificate_digest`` the SHA-256 of the DER certificate."""

    key: bytes
    certificate_digest: bytes
    url: str
    name: str


def encode_statement(statement: ServerStatement, key: SigningKey) -> bytes:
    """``statement`` signed by ``key``, as canonical JSON."""
    value = {
        "format": _FORMAT,
        "key": statement.key.hex(),
        "certificate_digest": statement.certificate_digest.hex(),
        "url": statement.url,
        "name": statement.name,
    }
    signature = key.sign(PURPOSE, canonical.encode(value))
    return canonical.encode({**value, "signature": signature.hex()})


def open_statement(data: bytes, server_key: bytes) -> ServerStatement:
    """The statement in ``data``. Raises BadPacket, or Untrusted when it is not by ``server_key``."""
    value = canonical.decode(data, limit=MOST_BYTES)
    statement, signature = _parse(value)
    unsigned = {k: v for k, v in value.items() if k != "signature"}
    if statement.key != server_key:
        raise Untrusted(
            f"the server at {statement.url} shows key {statement.key.hex()[:16]}…,"
            f" not the expected {server_key.hex()[:16]}…",
            hint="boot this machine from the server it shall be cast by, or check that server's key",
        )
    verify(server_key, PURPOSE, canonical.encode(unsigned), signature)
    return statement


def _parse(value: Any) -> tuple[ServerStatement, bytes]:
    try:
        key, digest = bytes.fromhex(value["key"]), bytes.fromhex(value["certificate_digest"])
        signature = bytes.fromhex(value["signature"])
        url, name, number = value["url"], value["name"], value["format"]
    except (TypeError, KeyError, ValueError) as error:
        raise BadPacket(f"not a server's statement: {error!r}") from None
    sizes = (len(key), len(digest), len(signature))
    if sizes != (KEY_SIZE, CERTIFICATE_DIGEST_SIZE, SIGNATURE_SIZE) or number != _FORMAT:
        raise BadPacket("not a server's statement: a field has the wrong size, or a newer format")
    if not isinstance(url, str) or not isinstance(name, str):
        raise BadPacket("not a server's statement: its URL or name is no string")
    return ServerStatement(key, digest, url, name), signature
