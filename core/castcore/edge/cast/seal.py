"""An encrypted cast's chunks: sealed on their way from the image, proven on their way to the sink."""

from __future__ import annotations

from collections.abc import Sequence

from castcore.cast.protection import seal, sealed_lengths
from castcore.chunks import ChunkSource


class SealedSource:
    """A :class:`castcore.chunks.ChunkSource` whose stored bytes are those of ``source``, sealed."""

    def __init__(self, source: ChunkSource, key: bytes) -> None:
        self._source, self._key = source, key

    def stored_lengths(self) -> Sequence[int]:
        """Bytes for each chunk, the seal included; 0 for a chunk that never travels."""
        return sealed_lengths(self._source.stored_lengths())

    def read_stored(self, chunk: int) -> bytes:
        """The sealed bytes of ``chunk``. Raises DiskFailed or BadImage."""
        return seal(self._key, chunk, self._source.read_stored(chunk))
