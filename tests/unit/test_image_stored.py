"""Contents and stored bytes: raw, zstd, zeros, and what is neither."""

from __future__ import annotations

import pytest
import zstandard
from castcore.errors import BadImage
from castcore.image import (
    CHUNK_SIZE,
    ChunkDecoder,
    ChunkEncoder,
    ChunkKind,
    ChunkRecord,
    Codec,
    zero_digest,
)
from castcore.trust import digest

from tests.support.images import noise

TEXT = (b"the same line again\n" * 60_000)[:CHUNK_SIZE]


def record_of(content: bytes, stored: bytes, codec: Codec) -> ChunkRecord:
    return ChunkRecord(0, 0, len(content), ChunkKind.DATA, digest(content), len(stored), codec)


@pytest.mark.parametrize(
    ("content", "codec"),
    [(TEXT, Codec.ZSTD), (noise(CHUNK_SIZE, 3), Codec.RAW), (noise(512, 4), Codec.RAW)],
)
def test_content_comes_back(content: bytes, codec: Codec) -> None:
    found, stored = ChunkEncoder().encode(content)
    assert found is codec
    assert len(stored) <= len(content)
    record = record_of(content, bytes(stored), codec)
    assert ChunkDecoder().decode(record, memoryview(stored)) == content
    assert ChunkDecoder().decode(record, bytes(stored), memoryview(bytearray(CHUNK_SIZE))) == content
    assert ChunkDecoder().decode(record, bytes(stored), memoryview(bytearray(100))) == content


def test_zeros_store_nothing() -> None:
    record = ChunkRecord(0, 0, 4096, ChunkKind.ZERO, digest(bytes(4096)))
    assert ChunkDecoder().decode(record, b"") == bytes(4096)


@pytest.mark.parametrize("length", [1, 512, CHUNK_SIZE])
def test_zero_is_told_from_nearly_zero(length: int) -> None:
    assert digest(bytes(length)) == zero_digest(length)
    assert digest(bytes(length - 1) + b"\1") != zero_digest(length)


def test_a_frame_that_claims_more_is_refused_before_it_is_expanded() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    assert len(bomb) < CHUNK_SIZE
    with pytest.raises(BadImage, match="claims 268435456 bytes instead of 1048576"):
        ChunkDecoder().decode(record_of(TEXT, bomb, Codec.ZSTD), bomb)


def test_a_frame_that_claims_no_size_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
    with pytest.raises(BadImage, match="claims"):
        ChunkDecoder().decode(record_of(TEXT, frame, Codec.ZSTD), frame)


@pytest.mark.parametrize("stored", [b"not zstd at all", b"", b"\x28\xb5\x2f\xfd"])
def test_what_is_no_frame_is_refused(stored: bytes) -> None:
    for into in (None, memoryview(bytearray(CHUNK_SIZE))):
        with pytest.raises(BadImage):
            ChunkDecoder().decode(record_of(TEXT, stored, Codec.ZSTD), stored, into)


def test_a_frame_that_ends_too_early_is_refused() -> None:
    _, whole = ChunkEncoder().encode(TEXT)
    cut = bytes(whole[:-5])
    for into in (None, memoryview(bytearray(CHUNK_SIZE))):
        with pytest.raises(BadImage):
            ChunkDecoder().decode(record_of(TEXT, cut, Codec.ZSTD), cut, into)


def test_another_content_is_refused() -> None:
    _, stored = ChunkEncoder().encode(TEXT)
    wrong = record_of(TEXT[:-1] + b"!", bytes(stored), Codec.ZSTD)
    with pytest.raises(BadImage, match="digest"):
        ChunkDecoder().decode(wrong, bytes(stored))
    with pytest.raises(BadImage, match="stored bytes where"):
        ChunkDecoder().decode(record_of(TEXT, bytes(stored), Codec.ZSTD), bytes(stored) + b"\0")
