"""One end of a measured cast: chunks of a file, or into a file; what it costs is part of its result.

    python -m tests.bench.castend send --interface wire0 --file SOURCE --clients 4
    python -m tests.bench.castend receive --interface wire0 --file SINK --lengths SOURCE.chunks

``SOURCE.chunks`` (written by :func:`prepare`) lists every chunk's stored length, length and BLAKE3, as
an image's index would. With ``--zstd`` the chunks were compressed by :func:`prepare`.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import zstandard
from castcore.cast.chunkset import ChunkSet
from castcore.errors import Untrusted
from castcore.trust import digest

from tests.support.castpeer import cast, join, parser, say

CHUNK = 1 << 20


def prepare(source: Path, *, compressed: bool = False) -> None:
    """Write ``source``'s chunk list, and, ``compressed``, its chunks as ``source.zst``."""
    records: list[tuple[int, int, str]] = []
    compressor = zstandard.ZstdCompressor(level=1)
    with source.open("rb") as content, source.with_suffix(".zst").open("wb") as packed:
        while chunk := content.read(CHUNK):
            stored = compressor.compress(chunk) if compressed else chunk
            if compressed:
                packed.write(stored)
            records.append((len(stored), len(chunk), digest(chunk).hex()))
    chunk_list(source).write_text(json.dumps(records))


def chunk_list(source: Path) -> Path:
    """Where the chunk list of ``source`` is."""
    return source.with_suffix(".chunks")


class FileSource:
    """Stored chunks of a file, read as an image's pack is."""

    def __init__(self, source: Path, lengths: Sequence[int], *, compressed: bool) -> None:
        self._lengths = lengths
        self._starts = [sum(lengths[:i]) for i in range(len(lengths))]
        self._fd = os.open(source.with_suffix(".zst") if compressed else source, os.O_RDONLY)

    def stored_lengths(self) -> Sequence[int]:
        return self._lengths

    def read_stored(self, chunk: int) -> bytes:
        return os.pread(self._fd, self._lengths[chunk], self._starts[chunk])


class FileSink:
    """Proves each chunk, then writes it: what a disk sink does, without a partition table."""

    def __init__(
        self, sink: Path, records: Sequence[tuple[int, int, str]], *, compressed: bool, resume: bool
    ) -> None:
        self._fd = os.open(sink, os.O_RDWR | os.O_CREAT | (0 if resume else os.O_TRUNC), 0o600)
        self._records = records
        self._compressed = compressed
        self._local = threading.local()

    def put(self, chunk: int, stored: bytes | memoryview) -> int:
        _, length, wanted = self._records[chunk]
        content = stored
        if self._compressed:
            decoder = getattr(self._local, "decoder", None)
            if decoder is None:
                decoder = self._local.decoder = zstandard.ZstdDecompressor()
            content = decoder.decompress(stored, max_output_size=length)
        if digest(content) != bytes.fromhex(wanted):
            raise Untrusted(f"chunk {chunk}")
        return os.pwrite(self._fd, content, chunk * CHUNK)

    def held(self) -> ChunkSet:
        """The chunks that the file holds already."""
        mask = [
            digest(os.pread(self._fd, length, chunk * CHUNK)).hex() == wanted
            for chunk, (_, length, wanted) in enumerate(self._records)
        ]
        return ChunkSet.of(np.array(mask, np.bool_))

    def flush(self) -> None:
        os.fsync(self._fd)


def main() -> None:
    both = argparse.ArgumentParser(parents=[parser()])
    both.add_argument("verb", choices=("send", "receive"))
    both.add_argument("--file", type=Path, required=True)
    both.add_argument("--lengths", type=Path, required=True)
    both.add_argument("--zstd", action="store_true")
    both.add_argument("--resume", action="store_true", help="keep what the sink holds already")
    args = both.parse_args()
    records = json.loads(args.lengths.read_text())
    lengths = [stored for stored, _, _ in records]
    if args.verb == "send":
        cast(args, FileSource(args.file, lengths, compressed=args.zstd))
        return
    sink = FileSink(args.file, records, compressed=args.zstd, resume=args.resume)
    held = sink.held() if args.resume else None
    say(event="result", **join(args, lengths, sink, held=held))


if __name__ == "__main__":
    main()
