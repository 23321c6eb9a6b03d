"""What a cast may have beyond proven chunks: a tag on every datagram, encryption of every chunk.

Both keys are random, live as long as the sender's session, and reach its clients over TLS with the
answer to their join. A tag stops those outside the group; whoever has joined can make one. A chunk
is sealed whole (AES-256-GCM, NIST SP 800-38D): its number is the nonce, used once with each key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from castcore.cast.data import FLAG_TAGGED, Headers, datagram
from castcore.errors import Untrusted
from castcore.trust import keyed_tag

# Bytes of a datagram's tag; what sealing adds to a chunk.
DATA_TAG_SIZE = 8
SEAL_SIZE = 16
_NONCE_SIZE = 12

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Protection:
    """The keys of one session, 32 bytes each; empty where the cast does without.

    ``tag_key`` is for the tags of datagrams, ``seal_key`` for the chunks.
    """

    tag_key: bytes = field(default=b"", repr=False)
    seal_key: bytes = field(default=b"", repr=False)


def tag_burst(burst: memoryview, symbol_size: int, key: bytes) -> None:
    """Put its tag into every datagram of ``burst``: keyed BLAKE3 over all of it, the tag as zeros."""
    headers = np.frombuffer(burst, datagram(symbol_size))["header"]
    headers["flags"] |= FLAG_TAGGED
    headers["tag"] = 0
    headers["tag"] = _tags(burst, len(headers), key)


def authentic(burst: memoryview, headers: Headers, key: bytes) -> Mask:
    """Which datagrams of ``burst`` carry the tag of ``key``; their tag fields are zeros afterwards."""
    told = headers["tag"].copy()
    headers["tag"] = 0
    good: Mask = (headers["flags"] & FLAG_TAGGED != 0) & (_tags(burst, len(headers), key) == told)
    return good


def sealed_lengths(lengths: Sequence[int]) -> list[int]:
    """The lengths of chunks once they are sealed; what does not travel stays 0."""
    return [length + SEAL_SIZE if length else 0 for length in lengths]


def seal(key: bytes, chunk: int, stored: bytes) -> bytes:
    """The stored bytes of ``chunk`` encrypted, with the seal behind them."""
    return AESGCM(key).encrypt(chunk.to_bytes(_NONCE_SIZE, "big"), stored, None)


def unseal(key: bytes, chunk: int, sealed: bytes | memoryview) -> bytes:
    """The stored bytes of ``chunk``. Raises Untrusted when they were not sealed so."""
    try:
        return AESGCM(key).decrypt(chunk.to_bytes(_NONCE_SIZE, "big"), bytes(sealed), None)
    except (InvalidTag, ValueError):
        raise Untrusted(f"chunk {chunk} was not sealed by the sender of this cast") from None


def _tags(burst: memoryview, count: int, key: bytes) -> NDArray[np.uint64]:
    size = len(burst) // count
    tags = [keyed_tag(key, burst[i : i + size], DATA_TAG_SIZE) for i in range(0, len(burst), size)]
    return np.frombuffer(b"".join(tags), ">u8")
