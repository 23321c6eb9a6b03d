"""What passes between a seed and a client that asks it: a tagged request, a sealed chunk.

Only who has joined the cast has its peer key: others can neither ask for chunks nor read an answer.
What a chunk contains is proven by its hash, so a seed need not be trusted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from castcore.errors import BadPacket
from castcore.trust import KEY_SIZE, keyed_tag

TAG_SIZE = 16
# NIST SP 800-38D: 96 random bits; a seed answers far less than 2^32 times under one key.
NONCE_SIZE = 12
SEAL_OVERHEAD = NONCE_SIZE + 16 + 1
# No chunk of any image is larger; a lying seed must not make us allocate more.
CONTENT_MAX = 8 << 20
ANSWER_MAX = CONTENT_MAX + SEAL_OVERHEAD
# Fast: a seed's processor has better to do, and the link is no faster than this.
LEVEL = 1
_RAW, _ZSTD = b"\0", b"\1"
_ABOUT = struct.Struct(">IQ")


def request_tag(key: bytes, session: int, chunk: int) -> str:
    """The proof, in hex, that who asks for ``chunk`` takes part in the cast with this peer key."""
    return keyed_tag(key, b"peer request" + _ABOUT.pack(session, chunk), TAG_SIZE).hex()


@dataclass(frozen=True, slots=True)
class Packed:
    """A chunk's content as it travels: as it is, or as a ``zstd`` frame that tells its size."""

    data: bytes
    zstd: bool


def pack(content: bytes) -> Packed:
    """``content``, compressed if that makes it smaller."""
    frame = zstandard.ZstdCompressor(level=LEVEL).compress(content)
    return Packed(frame, zstd=True) if len(frame) < len(content) else Packed(content, zstd=False)


def seal(key: bytes, session: int, chunk: int, packed: Packed, nonce: bytes) -> bytes:
    """The answer that carries ``chunk``; ``nonce`` is fresh and random."""
    body = (_ZSTD if packed.zstd else _RAW) + packed.data
    return nonce + _cipher(key).encrypt(nonce, body, _ABOUT.pack(session, chunk))


def unseal(key: bytes, session: int, chunk: int, answer: bytes) -> bytes:
    """The content that ``answer`` carries, not yet proven. Raises BadPacket."""
    try:
        nonce, sealed = answer[:NONCE_SIZE], answer[NONCE_SIZE:]
        body = _cipher(key).decrypt(nonce, sealed, _ABOUT.pack(session, chunk))
    except (InvalidTag, ValueError):
        raise BadPacket("a peer's answer that is not sealed with the cast's key") from None
    kind, packed = body[:1], body[1:]
    if kind == _RAW:
        return packed
    if kind != _ZSTD:
        raise BadPacket("a peer's answer in an unknown form")
    return _expand(packed)


def _expand(packed: bytes) -> bytes:
    try:
        # The library allocates what the frame's header claims, so that is checked first.
        claimed = zstandard.get_frame_parameters(packed).content_size
        if claimed > CONTENT_MAX:
            raise BadPacket(f"a peer's answer that claims {claimed} bytes")
        return zstandard.ZstdDecompressor(max_window_size=CONTENT_MAX).decompress(packed)
    except zstandard.ZstdError as error:
        raise BadPacket(f"a peer's answer that is no zstd frame: {error}") from None


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(keyed_tag(key, b"peer seal", KEY_SIZE))
