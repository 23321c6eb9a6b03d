"""From a chunk's content to its stored bytes and back, proven by its digest.

Compression contexts serve one thread at a time: each thread has its own encoder and decoder.
"""

from __future__ import annotations

import zstandard

from castcore.errors import BadImage
from castcore.image.record import CHUNK_SIZE, ChunkKind, ChunkRecord, Codec
from castcore.trust import digest

DEFAULT_LEVEL = 3
MAX_LEVEL = 19
# No encoder needs a window beyond one chunk; the margin lets other implementations round up.
MAX_WINDOW = 8 * CHUNK_SIZE
_ZEROS = bytes(CHUNK_SIZE)


# A region as read: assembled in place when it has holes.
Content = bytes | bytearray


def is_zero(content: Content) -> bool:
    """Whether ``content`` (at most one chunk) is all zeros; ends at the first byte that is not."""
    return content == (_ZEROS if len(content) == CHUNK_SIZE else _ZEROS[: len(content)])


class ChunkEncoder:
    """Encodes contents with zstd at ``level``, or raw where that does not shrink them."""

    def __init__(self, level: int = DEFAULT_LEVEL) -> None:
        self._zstd = zstandard.ZstdCompressor(level=level)

    def encode(self, content: Content) -> tuple[Codec, Content]:
        """The codec and stored bytes of ``content``."""
        packed = self._zstd.compress(content)
        return (Codec.ZSTD, packed) if len(packed) < len(content) else (Codec.RAW, content)


class ChunkDecoder:
    """Decodes and proves stored bytes; never allocates more than the record's length."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)

    def decode(self, record: ChunkRecord, stored: bytes | memoryview) -> bytes | memoryview:
        """The content of ``record``. Raises BadImage when ``stored`` does not hold it."""
        if record.kind is ChunkKind.ZERO:
            return memoryview(_ZEROS)[: record.length]
        if len(stored) != record.stored:
            raise BadImage(f"{len(stored)} stored bytes where {record.stored} belong")
        content = stored if record.codec is Codec.RAW else self._expand(record.length, stored)
        if digest(content) != record.digest:
            raise BadImage("its content is not the one its digest names")
        return content

    def _expand(self, length: int, stored: bytes | memoryview) -> bytes:
        try:
            frame = zstandard.get_frame_parameters(stored)
            # The library allocates what the frame's header claims, so that is checked first.
            if frame.content_size != length:
                raise BadImage(f"its zstd frame claims {frame.content_size} bytes instead of {length}")
            return self._zstd.decompress(stored)
        except zstandard.ZstdError as error:
            raise BadImage(f"its stored bytes are no zstd frame: {error}") from None
