"""What a finished client serves to others: chunks still in memory, and what its disks hold.

A disk that turns is not read for others: each of their chunks would cost its owner a seek.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from castcore.cast.peerwire import Packed, pack
from castcore.cast.seedcache import SeedCache, capacity, drawn
from castcore.edge.disk.readback import WrittenChunks
from castcore.edge.disk.rotation import rotational
from castcore.edge.memory import available_memory
from castcore.image import Codec, Index, Manifest

# How often the machine's free memory is looked at.
LOOK_SECONDS = 1.0


class Sink(Protocol):
    """A ``castcore.chunks.ChunkSink`` that takes contents as well (``DiskSink``)."""

    def put(self, chunk: int, stored: bytes | memoryview) -> int:
        """Prove and write stored bytes."""
        ...

    def put_content(self, chunk: int, content: bytes) -> int:
        """Prove and write a content."""
        ...

    def flush(self) -> None:
        """Make it all durable."""
        ...


class SeedContents:
    """Implements ``castcore.edge.cast.seed.Contents`` for disks at ``paths``, in the manifest's order.

    ``free`` tells the machine's free memory in bytes, ``turns`` whether a disk turns. Every call may
    come from any thread. Raises NotFound, DiskFailed.
    """

    def __init__(
        self,
        manifest: Manifest,
        index: Index,
        paths: Sequence[str],
        *,
        free: Callable[[], int] = available_memory,
        turns: Callable[[str], bool] = rotational,
    ) -> None:
        self._index, self._free = index, free
        self._turning = [turns(path) for path in paths]
        self._written = WrittenChunks(manifest, index, paths)
        self._cache = SeedCache(drawn(index.stored_lengths(), capacity(free()), Random()))
        self._lock, self._looked = threading.Lock(), time.monotonic()

    def remembering(self, sink: Sink) -> Sink:
        """``sink``, from which what is put stays in memory too, as far as it may."""
        return _Remembering(sink, self)

    def remember(self, chunk: int, stored: bytes | memoryview) -> None:
        """The proven stored bytes of ``chunk`` were at hand; a copy is kept if it is one to keep."""
        if self._cache.wants(chunk):
            packed = self._index.records[chunk].codec is not Codec.RAW
            kept = Packed(bytes(stored), zstd=packed)
            with self._lock:
                self._cache.keep(chunk, kept)

    def packed(self, chunk: int) -> Packed | None:
        """The proven ``chunk``, from memory, else from its disk; None when it is not to be had."""
        self.relieve()
        kept = self._cache.get(chunk)
        if kept is not None or not 0 <= chunk < len(self._index):
            return kept
        if self._turning[self._index.records[chunk].disk]:
            return None
        content = self._written.content(chunk)
        return None if content is None else pack(content)

    def relieve(self) -> None:
        """Free memory if the machine is short of it; looks once a second at most."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked < LOOK_SECONDS:
                return
            self._looked = now
            self._cache.make_room(self._free())

    def close(self) -> None:
        """Free the memory and close the disks; `packed` must not be under way."""
        with self._lock:
            self._cache.clear()
        self._written.close()


class _Remembering:
    def __init__(self, sink: Sink, contents: SeedContents) -> None:
        self._sink, self._contents = sink, contents

    def put(self, chunk: int, stored: bytes | memoryview) -> int:
        self._contents.relieve()
        taken = self._sink.put(chunk, stored)
        if taken:  # else it was there, and these bytes are not proven
            self._contents.remember(chunk, stored)
        return taken

    def put_content(self, chunk: int, content: bytes) -> int:
        # It came from another seed, unpacked: the others have it from there.
        self._contents.relieve()
        return self._sink.put_content(chunk, content)

    def flush(self) -> None:
        self._sink.flush()
