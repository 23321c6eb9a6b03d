"""A complete image on disk, opened for reading: checked manifest and index, packs by pread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from castcore.edge.image.packs import Packs
from castcore.edge.image.store import (
    INDEX_FILE,
    MANIFEST_FILE,
    SIGNATURE_FILE,
    STORED_DIGESTS_FILE,
    read_file,
)
from castcore.errors import BadImage, NotFound
from castcore.image import (
    MANIFEST_LIMIT,
    SIGNATURE_FILE_SIZE,
    BorrowedPack,
    ChunkDecoder,
    ChunkKind,
    Index,
    Manifest,
    StoredDigests,
    index_size,
    parse_index,
    parse_manifest,
    parse_stored_digests,
    signer,
    stored_digests_size,
)


class Image:
    """An open image: a :class:`castcore.chunks.ChunkSource`, usable from several threads.

    ``signed_by`` is the public key that signed it, or None; its signature holds. Whatever it borrows
    is read from the images that have it (:mod:`castcore.edge.image.packs`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest_bytes = read_file(path / MANIFEST_FILE, MANIFEST_LIMIT)
        with _named(path):
            self.manifest: Manifest = parse_manifest(self.manifest_bytes)
        # The manifest bounds the index before that is read.
        limit = index_size(self.manifest.chunk_count)
        self.index_bytes = read_file(path / INDEX_FILE, limit)
        with _named(path):
            self.index: Index = parse_index(self.index_bytes, self.manifest)
        self.signed_by = _signer(path, self.manifest_bytes)
        self._local = threading.local()
        self.packs = Packs(path, self.manifest)

    @classmethod
    def open(cls, path: Path) -> Image:
        """The image at ``path``. Raises NotFound, BadImage or DiskFailed."""
        if not path.is_dir():
            raise NotFound(
                f"no such image: {path}", hint="`fleetcast image list` shows a store's images"
            )
        return cls(path)

    def __enter__(self) -> Image:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the packs; the image must not be read any more."""
        self.packs.close()

    @property
    def borrowed(self) -> tuple[BorrowedPack, ...]:
        """The packs whose bytes are those of other images."""
        return self.packs.borrowed

    def stored_lengths(self) -> Sequence[int]:
        """Bytes stored for each chunk, by chunk number; 0 for a chunk of zeros."""
        return self.index.stored_lengths()

    def stored_digests(self) -> StoredDigests | None:
        """The digests of all stored bytes; None for an image without. Raises DiskFailed or BadImage."""
        if not self.manifest.stored_digest:
            return None
        with _named(self.path):
            return parse_stored_digests(self.stored_digests_bytes(), self.manifest)

    def stored_digests_bytes(self) -> bytes:
        """The file of stored digests, not proven. Raises DiskFailed or BadImage."""
        return read_file(self.path / STORED_DIGESTS_FILE, stored_digests_size(self.manifest.chunk_count))

    def read_stored(self, chunk: int) -> bytes:
        """The stored bytes of ``chunk``, not proven. Raises DiskFailed or BadImage."""
        record = self.index.records[chunk]
        if record.kind is ChunkKind.ZERO:
            return b""
        data = self.packs.read(record.pack, record.pack_offset, record.stored)
        if len(data) != record.stored:
            raise self.damaged(chunk, "the pack ends inside it")
        return data

    def content(self, chunk: int) -> bytes | memoryview:
        """The content of ``chunk``, proven by its digest. Raises DiskFailed or BadImage."""
        return self._decode(chunk, self.read_stored(chunk))

    def read_proven(self, chunk: int) -> bytes:
        """The stored bytes of ``chunk``, whose content was proven. Raises DiskFailed or BadImage."""
        stored = self.read_stored(chunk)
        if stored:
            self._decode(chunk, stored)
        return stored

    def damaged(self, chunk: int, why: str) -> BadImage:
        """The error that names the pack and chunk which are not what the index says."""
        record = self.index.records[chunk]
        path, offset = self.packs.place(record.pack, record.pack_offset)
        whose = path.name if path.parent == self.path else f"{path}, which it borrows from,"
        return BadImage(
            f"{self.path}: {whose} is damaged at byte {offset}: chunk {chunk} ({record.region}): {why}",
            hint="capture the image again, or copy it again from where it is whole",
        )

    def _decode(self, chunk: int, stored: bytes) -> bytes | memoryview:
        try:
            return self._decoder().decode(self.index.records[chunk], stored)
        except BadImage as error:
            raise self.damaged(chunk, error.what) from None

    def _decoder(self) -> ChunkDecoder:
        # A zstd context serves one thread at a time.
        decoder: ChunkDecoder | None = getattr(self._local, "decoder", None)
        if decoder is None:
            decoder = self._local.decoder = ChunkDecoder()
        return decoder


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the image in whatever a parser refuses."""
    try:
        yield
    except BadImage as error:
        raise BadImage(f"{path}: {error.what}", hint=error.hint) from None


def _signer(path: Path, manifest_bytes: bytes) -> bytes | None:
    file = path / SIGNATURE_FILE
    if not file.exists():
        return None
    data = read_file(file, SIGNATURE_FILE_SIZE)
    with _named(path):
        return signer(manifest_bytes, data)


class ProvenSource:
    """A ChunkSource of ``image`` that hands out no stored bytes before their content was proven.

    Each receiver proves what it gets; a sender that proves it too ends with the name of the damaged
    pack instead of leaving every client to find the same chunk bad for ever.
    """

    def __init__(self, image: Image) -> None:
        self._image = image

    def stored_lengths(self) -> Sequence[int]:
        """Bytes stored for each chunk, by chunk number; 0 for a chunk of zeros."""
        return self._image.stored_lengths()

    def read_stored(self, chunk: int) -> bytes:
        """The proven stored bytes of ``chunk``. Raises DiskFailed or BadImage."""
        return self._image.read_proven(chunk)
