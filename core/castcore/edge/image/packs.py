"""The packs of an image, opened and read by pread: its own, and pieces of those it borrows.

Never mapped: a medium pulled out must be an error, not the end of the process.
"""

from __future__ import annotations

import os
from pathlib import Path

from blake3 import blake3

from castcore.edge.image.store import INDEX_FILE, SUFFIX, lent_packs, open_plain, plain_descriptor
from castcore.errors import BadImage, DiskFailed
from castcore.image import BorrowedPack, Lender, Manifest, Piece, index_size, pack_name
from castcore.units import MIB


class Packs:
    """The open packs of the image at ``path``; usable from several threads.

    ``borrowed`` are those whose bytes the image has not itself. Raises BadImage when a pack or an image
    that it borrows from is missing, was replaced, or has another size; DiskFailed.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._path, self._lenders = path, manifest.lenders
        self.borrowed: tuple[BorrowedPack, ...] = lent_packs(path, manifest)
        self._lent = {pack.number: pack for pack in self.borrowed}
        self._sizes = manifest.packs
        self._files: dict[Path, int] = {}
        try:
            for number, size in enumerate(manifest.packs):
                if number not in self._lent:
                    self._open_own(path / pack_name(number), size)
            pieces = [piece for pack in self.borrowed for piece in pack.pieces]
            for number in sorted({piece.lender for piece in pieces}):
                _require_lender(path, manifest.lenders[number])
            self._open_lent(pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every file; nothing must be read any more."""
        while self._files:
            os.close(self._files.popitem()[1])

    def place(self, pack: int, offset: int) -> tuple[Path, int]:
        """The file that holds byte ``offset`` of ``pack``, and where in it."""
        lent = self._lent.get(pack)
        if lent is None:
            return self._path / pack_name(pack), offset
        piece, at = lent.place(offset)
        return self._lender_pack(piece), at

    def read(self, pack: int, offset: int, length: int) -> bytes:
        """``length`` bytes of one run of ``pack``; fewer where its file ends. Raises DiskFailed."""
        path, at = self.place(pack, offset)
        try:
            return os.pread(self._files[path], length, at)
        except OSError as error:
            raise DiskFailed(f"{path} cannot be read: {error.strerror}") from None

    def read_into(self, pack: int, offset: int, view: memoryview) -> int:
        """Fill ``view`` out of one run of ``pack``; how many bytes its file had. Raises DiskFailed."""
        path, at = self.place(pack, offset)
        done = 0
        try:
            while done < len(view):
                got = os.preadv(self._files[path], [view[done:]], at + done)
                if not got:
                    break
                done += got
        except OSError as error:
            raise DiskFailed(f"{path} cannot be read: {error.strerror}") from None
        return done

    def runs(self, pack: int) -> list[tuple[int, int]]:
        """Offset and length of the runs of ``pack`` that lie in one piece each, rising."""
        lent = self._lent.get(pack)
        if lent is None:
            return [(0, self._sizes[pack])]
        return [(end - p.length, p.length) for p, end in zip(lent.pieces, lent.ends, strict=True)]

    def _lender_pack(self, piece: Piece) -> Path:
        return _lender_path(self._path, self._lenders[piece.lender]) / pack_name(piece.pack)

    def _open_own(self, path: Path, size: int) -> None:
        found = self._open(path)
        if found != size:
            raise BadImage(f"{path} is damaged: it has {found} bytes instead of {size}")

    def _open_lent(self, pieces: list[Piece]) -> None:
        ends: dict[Path, int] = {}
        for piece in pieces:
            path = self._lender_pack(piece)
            ends[path] = max(ends.get(path, 0), piece.offset + piece.length)
        for path, end in ends.items():
            found = self._open(path)
            if found < end:
                raise BadImage(
                    f"{self._path} borrows {end} bytes of {path}, which has {found}",
                    hint=f"prove {path.parent.name}: `fleetcast verify`",
                )

    def _open(self, path: Path) -> int:
        """Open a pack; its size."""
        try:
            self._files[path] = plain_descriptor(path, links=True)
        except FileNotFoundError:
            raise BadImage(f"{path} is missing") from None
        except OSError as error:
            raise DiskFailed(f"{path} cannot be opened: {error.strerror}") from None
        return os.fstat(self._files[path]).st_size


def _lender_path(path: Path, lender: Lender) -> Path:
    return path.parent / f"{lender.name}{SUFFIX}"


def _require_lender(path: Path, lender: Lender) -> None:
    """Return when the image that ``path`` borrows from is there, and still the one it was."""
    place = _lender_path(path, lender)
    if place.name == path.name:
        raise BadImage(f"{path} says that it borrows from itself")
    if not place.is_dir():
        raise BadImage(
            f"{path} borrows from image {lender.name}, which is not in {path.parent}",
            hint=f"bring {lender.name} back there, or use a copy made by `fleetcast image copy`",
        )
    if not _is_lender(place / INDEX_FILE, lender):
        raise BadImage(
            f"{path} borrows from image {lender.name}, but another image has that name now",
            hint=f"bring back the {lender.name} that was there when {path.name} was captured",
        )


def _is_lender(index: Path, lender: Lender) -> bool:
    """Whether ``index`` is the index of ``lender``."""
    try:
        with open_plain(index, links=True) as file:
            if os.fstat(file.fileno()).st_size != index_size(lender.chunk_count):
                return False
            found = blake3()
            while block := file.read(MIB):
                found.update(block)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DiskFailed(f"{index} cannot be read: {error.strerror}") from None
    return found.digest() == lender.index_digest
