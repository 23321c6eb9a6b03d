"""Writes an image's packs, index and manifest into a directory, in order, every file synced."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from castcore.edge.image.bases import Bases
from castcore.edge.image.packfile import PackFile
from castcore.edge.image.store import (
    INDEX_FILE,
    MANIFEST_FILE,
    SIGNATURE_FILE,
    STORED_DIGESTS_FILE,
    writing_to,
)
from castcore.image import (
    PACK_LIMIT,
    ChunkKind,
    ChunkRecord,
    Codec,
    Content,
    Loan,
    LoanBook,
    Manifest,
    encode_index,
    encode_manifest,
    encode_record,
    encode_stored_digests,
    pack_name,
    sign_manifest,
)
from castcore.image.storeddigests import NOTHING
from castcore.trust import SigningKey, digest


class Place(NamedTuple):
    """Where stored bytes lie: their number, codec, pack, place in it; and their digest."""

    size: int
    codec: Codec
    pack: int
    offset: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Written:
    """What an earlier writer left in a directory: the packs' ``sizes``, the ``places`` by content."""

    sizes: Sequence[int] = ()
    places: Mapping[bytes, Place] = field(default_factory=dict)


class ImageWriter:
    """Takes the chunks of an image in the order of its disks; one thread calls :meth:`add`.

    With a ``key`` the image is signed by it; what ``bases`` have it borrows, and what is ``written``
    in the directory already it keeps.
    """

    def __init__(
        self,
        directory: Path,
        *,
        pack_limit: int = PACK_LIMIT,
        key: SigningKey | None = None,
        bases: Bases | None = None,
        written: Written | None = None,
    ) -> None:
        written = written or Written()
        self._directory = directory
        self._key = key
        self._bases = bases
        self._limit = pack_limit
        self._pack: PackFile | None = None
        self._own = 0  # its number
        self._sizes = list(written.sizes)  # of all packs, by number
        self._book = LoanBook(pack_limit)
        self._borrowed = 0
        self._records: list[bytes] = []
        self._stored_digests: list[bytes] = []
        self._places = dict(written.places)

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pack is not None:
            self._pack.close()

    @property
    def stored(self) -> int:
        """Bytes the packs of its own hold so far."""
        return sum(self._sizes) - self._borrowed

    def holds(self, content_digest: bytes) -> bool:
        """Whether a content of this digest is stored already; any thread may ask."""
        return content_digest in self._places

    def loan(self, content_digest: bytes) -> Loan | None:
        """Where a base has the content of this digest, proven; any thread may ask.

        Raises BadImage, DiskFailed.
        """
        return self._bases.loan(content_digest) if self._bases and not self._book.full else None

    def add(self, record: ChunkRecord, stored: Content, loan: Loan | None = None) -> None:
        """The next chunk; ``stored`` may be empty when the writer holds its content, or for a ``loan``.

        ``record`` says nothing of packs yet. Raises NoSpace or DiskFailed.
        """
        if record.kind is ChunkKind.DATA:
            place = self._places.get(record.digest)
            if place is None:
                if loan is not None:
                    place = self._borrow(loan)
                else:
                    place = self._append(record.digest, record.codec, stored)
                self._places[record.digest] = place
            record = replace(
                record, stored=place.size, codec=place.codec, pack=place.pack, pack_offset=place.offset
            )
            self._stored_digests.append(place.digest)
        else:
            self._stored_digests.append(NOTHING)
        self._records.append(encode_record(record))

    def keep(self, content_digest: bytes, codec: Codec, stored: Content) -> Place | None:
        """Store a content before its chunk is added; None: it is there. Raises NoSpace or DiskFailed."""
        if content_digest in self._places:
            return None
        place = self._places[content_digest] = self._append(content_digest, codec, stored)
        return place

    def sync(self) -> None:
        """Make durable what was stored so far; what follows goes to a new pack."""
        self._close_pack()

    def contents(self) -> list[bytes]:
        """The digests of all contents stored so far."""
        return list(self._places)

    def finish(self, manifest: Manifest) -> Manifest:
        """Write index and manifest and sync all; return ``manifest`` with index and packs filled in."""
        self._close_pack()
        index = encode_index(self._records)
        stored_digests = encode_stored_digests(self._stored_digests)
        complete = replace(
            manifest,
            index_digest=digest(index),
            chunk_count=len(self._records),
            packs=tuple(self._sizes),
            lenders=self._book.lenders,
            borrowed=self._book.borrowed,
            stored_digest=digest(stored_digests),
        )
        write_synced(self._directory / INDEX_FILE, index)
        write_synced(self._directory / STORED_DIGESTS_FILE, stored_digests)
        data = encode_manifest(complete)
        write_synced(self._directory / MANIFEST_FILE, data)
        if self._key is not None:
            write_synced(self._directory / SIGNATURE_FILE, sign_manifest(data, self._key))
        return complete

    def _append(self, content_digest: bytes, codec: Codec, stored: Content) -> Place:
        if self._pack is None or self._pack.size + len(stored) > self._limit:
            self._close_pack()
            self._own = len(self._sizes)
            self._pack = PackFile(self._directory / pack_name(self._own))
            self._sizes.append(0)
        offset = self._pack.append(stored)
        self._sizes[self._own] = self._pack.size
        name = content_digest if codec is Codec.RAW else digest(stored)
        return Place(len(stored), codec, self._own, offset, name)

    def _borrow(self, loan: Loan) -> Place:
        if not self._book.fits(loan):
            self._book.open(len(self._sizes))
            self._sizes.append(0)
        number, offset = self._book.enter(loan)
        self._sizes[number] += loan.stored
        self._borrowed += loan.stored
        return Place(loan.stored, loan.codec, number, offset, loan.digest)

    def _close_pack(self) -> None:
        if self._pack is not None:
            self._pack.finish()
            self._pack = None


def write_all(handle: int, data: Content) -> None:
    """Write all of ``data`` to a descriptor. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file of ``data`` and make it durable. Raises NoSpace or DiskFailed."""
    with writing_to(path.parent), path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
