"""From a chunk's content to its stored bytes and back, proven by its digest.

Compression contexts serve one thread at a time: each thread has its own encoder and decoder.
"""

from __future__ import annotations

from functools import cache

import zstandard

from castcore.errors import BadImage
from castcore.image.record import CHUNK_SIZE, ChunkKind, ChunkRecord, Codec
from castcore.trust import digest

DEFAULT_LEVEL = 3
MAX_LEVEL = 19
# No encoder needs a window beyond one chunk; the margin lets other implementations round up.
MAX_WINDOW = 8 * CHUNK_SIZE
_ZEROS = bytes(CHUNK_SIZE)


# A region as read, or what is stored of it.
Content = bytes | bytearray | memoryview


@cache
def zero_digest(length: int) -> bytes:
    """The digest of ``length`` zeros (at most one chunk): what has it is all zeros."""
    return digest(memoryview(_ZEROS)[:length])


class ChunkEncoder:
    """Encodes contents with zstd at ``level``, or raw where that does not shrink them."""

    def __init__(self, level: int = DEFAULT_LEVEL) -> None:
        self._zstd = zstandard.ZstdCompressor(compression_params=_parameters(level))

    def encode(self, content: Content) -> tuple[Codec, Content]:
        """The codec and stored bytes of ``content``, which is free for another use then."""
        packed = self._zstd.compress(content)
        return (Codec.ZSTD, packed) if len(packed) < len(content) else (Codec.RAW, bytes(content))


def _parameters(level: int) -> zstandard.ZstdCompressionParameters:
    """zstd's own for a chunk at ``level``; at the default one, it looks for matches harder.

    A stream finds what a chunk that stands alone cannot: this makes up for half of it, one percent of
    the size, and takes a sixth longer.
    """
    harder = {"hash_log": 18, "chain_log": 17, "min_match": 4} if level == DEFAULT_LEVEL else {}
    return zstandard.ZstdCompressionParameters.from_level(level, source_size=CHUNK_SIZE, **harder)


class ChunkDecoder:
    """Decodes and proves stored bytes; never allocates more than the record's length."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)

    def decode(
        self, record: ChunkRecord, stored: bytes | memoryview, into: memoryview | None = None
    ) -> bytes | memoryview:
        """The content of ``record``. Raises BadImage when ``stored`` does not hold it.

        It is expanded to the start of ``into``, where that is given and large enough.
        """
        if record.kind is ChunkKind.ZERO:
            return memoryview(_ZEROS)[: record.length]
        if len(stored) != record.stored:
            raise BadImage(f"{len(stored)} stored bytes where {record.stored} belong")
        content = stored if record.codec is Codec.RAW else self._expand(record.length, stored, into)
        if digest(content) != record.digest:
            raise BadImage("its content is not the one its digest names")
        return content

    def _expand(
        self, length: int, stored: bytes | memoryview, into: memoryview | None
    ) -> bytes | memoryview:
        try:
            frame = zstandard.get_frame_parameters(stored)
            # The library allocates what the frame's header claims, so that is checked first.
            if frame.content_size != length:
                raise BadImage(f"its zstd frame claims {frame.content_size} bytes instead of {length}")
            if into is None or len(into) < length:
                return self._zstd.decompress(stored)
            # One call that knows all of its input and has room for all of its output makes no copy.
            with self._zstd.stream_reader(stored, read_size=len(stored)) as frame_reader:
                got = frame_reader.readinto(into[:length])
            if got != length:
                raise BadImage(f"its zstd frame ends after {got} bytes instead of {length}")
            return into[:length]
        except zstandard.ZstdError as error:
            raise BadImage(f"its stored bytes are no zstd frame: {error}") from None
