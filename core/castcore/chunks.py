"""The two interfaces through which stored chunks travel: from an image, and to a disk.

A *chunk* is a fixed, aligned region of one disk, numbered by its place in the image's index. Its
*stored bytes* are what the image's packs hold (usually zstd); they are what a cast transports. A
chunk of zeros has no stored bytes and never travels.

The cast knows nothing of image formats and the image nothing of casts: both know only this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class ChunkSource(Protocol):
    """Stored chunks that can be read in any order, from several threads."""

    def stored_lengths(self) -> Sequence[int]:
        """Bytes stored for each chunk, by chunk number; 0 for a chunk that never travels."""
        ...

    def read_stored(self, chunk: int) -> bytes:
        """The stored bytes of ``chunk``. Raises DiskFailed or BadImage."""
        ...


class ChunkSink(Protocol):
    """Takes stored chunks in any order, from several threads; proves each before using it."""

    def put(self, chunk: int, stored: bytes | memoryview) -> int:
        """Check ``stored`` against the index, then write its content; return the bytes written.

        Raises Untrusted, with nothing written, when the content is not the one the index names;
        DiskFailed when the target cannot be written.
        """
        ...

    def flush(self) -> None:
        """Make every chunk put so far durable. Raises DiskFailed."""
        ...
