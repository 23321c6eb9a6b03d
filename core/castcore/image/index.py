"""The index of an image: a header and one fixed-size record per chunk, in the order of the disks.

Its digest is the image's root: who trusts the root can prove every chunk on its own. Everything a
reader relies on is checked here once, for all records together; see ``FORMAT.md``, "Index".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from castcore.errors import BadImage
from castcore.image.borrowing import BorrowedPack, PieceTable
from castcore.image.manifest import Manifest
from castcore.image.record import CHUNK_SIZE, RECORD, ChunkKind, ChunkRecord, Codec, decode_record
from castcore.image.regions import chunk_ranges
from castcore.trust import DIGEST_SIZE, digest

MAGIC = b"FCASTIDX"
INDEX_VERSION = 1
# magic, version, record size, chunk size, number of records, 40 bytes reserved (zero)
HEADER = struct.Struct("<8sHHIQ40x")

# The same layout as record.RECORD, to check all records at once; a test holds the two together.
ROWS = np.dtype(
    [
        ("offset", "<u8"),
        ("pack_offset", "<u4"),
        ("length", "<u4"),
        ("stored", "<u4"),
        ("pack", "<u4"),
        ("disk", "<u2"),
        ("kind", "u1"),
        ("codec", "u1"),
        ("reserved", "<u4"),
        ("digest", "u1", (DIGEST_SIZE,)),
    ]
)


class _Records(Sequence[ChunkRecord]):
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._count = (len(data) - HEADER.size) // RECORD.size

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> ChunkRecord: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[ChunkRecord]: ...
    def __getitem__(self, at: int | slice) -> ChunkRecord | Sequence[ChunkRecord]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(self._count))]
        number = at + self._count if at < 0 else at
        if not 0 <= number < self._count:
            raise IndexError(at)
        return decode_record(self._data, HEADER.size + number * RECORD.size)


class Index:
    """The records of an image, checked; ``records[n]`` is chunk ``n``. Made by :func:`parse_index`."""

    def __init__(self, data: bytes) -> None:
        self._rows = _rows(data)
        self.records: Sequence[ChunkRecord] = _Records(data)

    def __len__(self) -> int:
        return len(self.records)

    def stored_lengths(self) -> list[int]:
        """Bytes stored for each chunk; 0 for a chunk of zeros."""
        lengths: list[int] = self._rows["stored"].tolist()
        return lengths

    def chunks_of_kind(self, kind: ChunkKind) -> list[int]:
        """The numbers of the chunks of ``kind``, rising."""
        numbers: list[int] = np.flatnonzero(self._rows["kind"] == kind).tolist()
        return numbers

    def stored_order(self, chunks: Sequence[int]) -> list[int]:
        """Those of ``chunks`` that store something, as their bytes lie in the packs."""
        asked = np.asarray(chunks, dtype=np.int64)
        data = asked[self._rows["kind"][asked] == ChunkKind.DATA]
        rows = self._rows[data]
        ordered: list[int] = data[np.lexsort((rows["pack_offset"], rows["pack"]))].tolist()
        return ordered

    def runs(self, chunks: Iterable[int], most: int) -> Iterator[list[int]]:
        """``chunks`` in runs whose regions follow each other on a disk, ``most`` bytes of it at most."""
        run: list[int] = []
        disk = start = end = 0
        for chunk in chunks:
            record = self.records[chunk]
            follows = run and (record.disk, record.offset) == (disk, end)
            if not follows or record.offset + record.length - start > most:
                if run:
                    yield run
                run, disk, start = [], record.disk, record.offset
            run.append(chunk)
            end = record.offset + record.length
        if run:
            yield run

    def content_bytes(self) -> int:
        """The length of all chunks together."""
        return int(self._rows["length"].sum(dtype=np.uint64))

    def digest_keys(self) -> NDArray[np.uint64]:
        """The first eight bytes of each chunk's digest, as a number (little-endian)."""
        first = np.ascontiguousarray(self._rows["digest"][:, :8])
        keys: NDArray[np.uint64] = first.view("<u8").ravel()
        return keys

    def rows_in(self, packs: Iterable[BorrowedPack]) -> NDArray[Any]:
        """The rows (:data:`ROWS`) of the chunks that lie in ``packs``."""
        return _lying_in(self._rows, packs)


def encode_index(records: Iterable[bytes]) -> bytes:
    """The index file that holds ``records``, each encoded by :func:`encode_record`."""
    body = b"".join(records)
    count = len(body) // RECORD.size
    return HEADER.pack(MAGIC, INDEX_VERSION, RECORD.size, CHUNK_SIZE, count) + body


def index_size(chunk_count: int) -> int:
    """The bytes of an index of ``chunk_count`` records."""
    return HEADER.size + chunk_count * RECORD.size


def parse_index(data: bytes, manifest: Manifest) -> Index:
    """The index ``data`` of the image that ``manifest`` describes. Raises BadImage."""
    if len(data) != index_size(manifest.chunk_count):
        raise BadImage(
            f"the index has {len(data)} bytes where {manifest.chunk_count} records need"
            f" {index_size(manifest.chunk_count)}"
        )
    if digest(data) != manifest.index_digest:
        raise BadImage("the index is damaged: its digest is not the one in the manifest")
    magic, version, record_size, chunk_size, count = HEADER.unpack_from(data)
    if magic != MAGIC or version != INDEX_VERSION or any(data[24 : HEADER.size]):
        raise BadImage("the index's header is not one of format 1")
    if (record_size, chunk_size, count) != (RECORD.size, CHUNK_SIZE, manifest.chunk_count):
        raise BadImage("the index's header does not agree with the manifest")
    rows = _rows(data)
    _check_kinds(rows)
    _check_places(rows, manifest)
    _check_packs(rows, manifest)
    return Index(data)


def _rows(data: bytes) -> NDArray[Any]:
    return np.frombuffer(data, dtype=ROWS, offset=HEADER.size)


def _check_kinds(rows: NDArray[Any]) -> None:
    stored, codec, zero = rows["stored"], rows["codec"], rows["kind"] == ChunkKind.ZERO
    raw = (codec == Codec.RAW) & (stored == rows["length"])
    shrunk = (codec == Codec.ZSTD) & (stored > 0) & (stored < rows["length"])
    data = (rows["kind"] == ChunkKind.DATA) & (raw | shrunk)
    nothing = (stored == 0) & (rows["pack"] == 0) & (rows["pack_offset"] == 0)
    good = (data | (zero & nothing & (codec == Codec.NONE))) & (rows["reserved"] == 0)
    _refuse(~good, "is of no known kind and codec")


def _check_places(rows: NDArray[Any], manifest: Manifest) -> None:
    """Every region in use has its record, in order, and nothing else has one."""
    at = 0
    for number, disk in enumerate(manifest.disks):
        for first, after in chunk_ranges(disk.in_use):
            part = rows[at : at + after - first]
            if len(part) != after - first:
                raise BadImage(f"the index ends before chunk {at + after - first} of disk {number}")
            offsets = np.arange(first, after, dtype=np.uint64) * np.uint64(CHUNK_SIZE)
            lengths = np.minimum(np.uint64(CHUNK_SIZE), np.uint64(disk.layout.size) - offsets)
            wrong = (part["disk"] != number) | (part["offset"] != offsets) | (part["length"] != lengths)
            _refuse(wrong, "is not the region in use that belongs there", at)
            at += after - first
    if at != len(rows):
        raise BadImage(f"the index has {len(rows)} chunks where the extents in use make {at}")


def _check_packs(rows: NDArray[Any], manifest: Manifest) -> None:
    data = rows["kind"] == ChunkKind.DATA
    _refuse(data & (rows["pack"] >= len(manifest.packs)), "lies in a pack that the image does not have")
    sizes = np.array([*manifest.packs, 0], dtype=np.uint64)
    room = sizes[np.minimum(rows["pack"], len(manifest.packs))]
    ends = rows["pack_offset"].astype(np.uint64) + rows["stored"]
    _refuse(data & (ends > room), "ends outside its pack")
    borrowed = _lying_in(rows, manifest.borrowed)
    if PieceTable(manifest.borrowed).crossing(borrowed).any():
        raise BadImage("the index is damaged: a chunk lies in two pieces of a borrowed pack")


def _lying_in(rows: NDArray[Any], packs: Iterable[BorrowedPack]) -> NDArray[Any]:
    numbers = np.array([pack.number for pack in packs], dtype=np.uint32)
    inside: NDArray[Any] = rows[(rows["kind"] == ChunkKind.DATA) & np.isin(rows["pack"], numbers)]
    return inside


def _refuse(wrong: NDArray[Any], why: str, start: int = 0) -> None:
    if wrong.any():
        raise BadImage(f"the index is damaged: chunk {start + int(np.argmax(wrong))} {why}")
