"""Writes an image's packs, index and manifest into a directory, in order, every file synced."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from castcore.edge.image.bases import Bases
from castcore.edge.image.store import INDEX_FILE, MANIFEST_FILE, SIGNATURE_FILE, writing_to
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
    pack_name,
    sign_manifest,
)
from castcore.trust import SigningKey, digest


class ImageWriter:
    """Takes the chunks of an image in the order of its disks; one thread calls :meth:`add`.

    With a ``key`` the image is signed by it; what ``bases`` have it borrows.
    """

    def __init__(
        self,
        directory: Path,
        *,
        pack_limit: int = PACK_LIMIT,
        key: SigningKey | None = None,
        bases: Bases | None = None,
    ) -> None:
        self._directory = directory
        self._key = key
        self._bases = bases
        self._limit = pack_limit
        self._pack: int = -1  # the open pack's descriptor
        self._own = 0  # its number
        self._sizes: list[int] = []  # of all packs, by number
        self._book = LoanBook(pack_limit)
        self._borrowed = 0
        self._records: list[bytes] = []
        self._places: dict[bytes, tuple[int, Codec, int, int]] = {}

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pack >= 0:
            os.close(self._pack)
            self._pack = -1

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
            if place is None and loan is not None:
                place = (loan.stored, loan.codec, *self._borrow(loan))
            elif place is None:
                place = (len(stored), record.codec, *self._append(stored))
            self._places[record.digest] = place
            size, codec, pack, offset = place
            record = replace(record, stored=size, codec=codec, pack=pack, pack_offset=offset)
        self._records.append(encode_record(record))

    def finish(self, manifest: Manifest) -> Manifest:
        """Write index and manifest and sync all; return ``manifest`` with index and packs filled in."""
        self._close_pack()
        index = encode_index(self._records)
        complete = replace(
            manifest,
            index_digest=digest(index),
            chunk_count=len(self._records),
            packs=tuple(self._sizes),
            lenders=self._book.lenders,
            borrowed=self._book.borrowed,
        )
        write_synced(self._directory / INDEX_FILE, index)
        data = encode_manifest(complete)
        write_synced(self._directory / MANIFEST_FILE, data)
        if self._key is not None:
            write_synced(self._directory / SIGNATURE_FILE, sign_manifest(data, self._key))
        return complete

    def _append(self, stored: Content) -> tuple[int, int]:
        if self._pack < 0 or self._sizes[self._own] + len(stored) > self._limit:
            self._close_pack()
            self._open_pack()
        offset = self._sizes[self._own]
        with writing_to(self._directory):
            write_all(self._pack, stored)
        self._sizes[self._own] += len(stored)
        return self._own, offset

    def _borrow(self, loan: Loan) -> tuple[int, int]:
        if not self._book.fits(loan):
            self._book.open(len(self._sizes))
            self._sizes.append(0)
        number, offset = self._book.enter(loan)
        self._sizes[number] += loan.stored
        self._borrowed += loan.stored
        return number, offset

    def _open_pack(self) -> None:
        self._own = len(self._sizes)
        path = self._directory / pack_name(self._own)
        with writing_to(path):
            self._pack = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._sizes.append(0)

    def _close_pack(self) -> None:
        if self._pack >= 0:
            with writing_to(self._directory):
                os.fsync(self._pack)
            os.close(self._pack)
            self._pack = -1


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
