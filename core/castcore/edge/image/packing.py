"""A chunk's content becomes what an image keeps of it: digested, then borrowed or compressed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from castcore.disk import Extent
from castcore.edge.image.imagesink import ImageSink
from castcore.image import (
    ChunkEncoder,
    ChunkKind,
    ChunkRecord,
    Content,
    Loan,
    zero_digest,
)
from castcore.trust import digest


@dataclass(frozen=True, slots=True)
class DiskChunk:
    """The ``content`` of one chunk: ``region`` of disk number ``disk``, zeros where it is not in use."""

    disk: int
    region: Extent
    content: Content


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """What an :class:`ImageSink` is given of a chunk: its record without a place, and its bytes.

    ``stored`` is empty for zeros, for what the sink holds already, and where there is a ``loan``.
    """

    record: ChunkRecord
    stored: Content = b""
    loan: Loan | None = None


class ChunkPacker:
    """Packs one chunk at a time for ``sink``, in whichever thread calls; zstd ``level``."""

    def __init__(self, sink: ImageSink, level: int) -> None:
        self._sink, self._level = sink, level
        self._local = threading.local()

    def pack(self, chunk: DiskChunk) -> PackedChunk:
        """What to keep of ``chunk``. Raises BadImage or DiskFailed when a base cannot lend it."""
        region, content = chunk.region, chunk.content
        name = digest(content)
        zero = name == zero_digest(len(content))
        kind = ChunkKind.ZERO if zero else ChunkKind.DATA
        record = ChunkRecord(chunk.disk, region.start, region.length, kind, name)
        if zero or self._sink.holds(name):
            return PackedChunk(record)
        loan = self._sink.loan(name)
        if loan is not None:
            return PackedChunk(record, loan=loan)
        codec, stored = self._encoder().encode(content)
        return PackedChunk(replace(record, codec=codec), stored)

    def _encoder(self) -> ChunkEncoder:
        encoder: ChunkEncoder | None = getattr(self._local, "encoder", None)
        if encoder is None:
            encoder = self._local.encoder = ChunkEncoder(self._level)
        return encoder
