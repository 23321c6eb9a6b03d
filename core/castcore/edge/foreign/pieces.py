"""What of a disk a foreign image holds: extents in use, and their bytes as a stream of pieces.

Pieces come straight from the unpacked stream into chunks, in one pass: no raw copy of the disk is
written first (partclone.restore would need as much space as the disk holds data, and a second
reading), and what is not in the image's own map never becomes part of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.disk import Extent, Extents, Partition, Taken, shift
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.foreign.scratch import Scratch
from castcore.edge.foreign.unpacked import Stream, unpacked
from castcore.errors import BadImage
from castcore.foreign import partclone
from castcore.foreign.assembly import Piece
from castcore.units import MIB, exactly

# blkid's words for the file systems that a partclone header names.
FSTYPES = {"EXTFS": "ext4", "NTFS": "ntfs", "FAT": "vfat", "EXFAT": "exfat", "HFS PLUS": "hfsplus"}
# partclone's map of btrfs is known to omit blocks (its issue 303).
INCOMPLETE = {"btrfs": "partclone's map of btrfs may omit blocks"}


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes of a disk that are at hand: ``pieces`` gives those of ``extents``, rising, once.

    ``fstype`` is blkid's word for what they are, if the image says so; ``taken`` is how much of the
    partition they are, and ``why`` the reason, or a caveat.
    """

    extents: Extents
    pieces: Callable[[], Iterable[Piece]]
    size: int = 0
    fstype: str = ""
    taken: Taken = Taken.USED
    why: str = ""


@dataclass(frozen=True, slots=True)
class ForeignDisk:
    """A disk to import: what is held of each of its ``partitions``, by number, and of the rest.

    ``scratch`` reads as the disk as far as its tables; ``outside`` are those and other bytes in use
    between partitions.
    """

    scratch: Scratch
    partitions: tuple[Partition, ...]
    held: Mapping[int, Held | None]
    outside: Held


@contextmanager
def partclone_files(files: Sequence[Path], start: int, room: int = 0) -> Iterator[Held]:
    """The partclone image in ``files``, its device's first byte at byte ``start`` of the disk.

    ``room`` (bytes) is what its partition has, 0 when nobody knows. Raises BadImage and what
    :func:`castcore.edge.foreign.unpacked.unpacked` raises.
    """
    with unpacked(files) as stream, _naming(files[0]):
        header = partclone.read_header(stream.read)
        in_use = partclone.read_in_use(stream.read, header)
        if room and in_use and in_use[-1].end > room:
            raise BadImage(
                f"it uses {exactly(in_use[-1].end)} of a partition that has {exactly(room)}",
            )
        fstype = FSTYPES.get(header.fs.upper(), header.fs.lower())

        def pieces() -> Iterator[Piece]:
            with _naming(files[0]):
                for at, data in partclone.read_blocks(stream.read, header, in_use):
                    yield start + at, data

        caveat = INCOMPLETE.get(fstype, "")
        yield Held(shift(in_use, start), pieces, header.size, fstype, why=caveat)


@contextmanager
def byte_files(files: Sequence[Path], extent: Extent) -> Iterator[Held]:
    """Every byte of ``extent`` of the disk, as they stand in ``files``."""

    def pieces(stream: Stream) -> Iterator[Piece]:
        at = extent.start
        while at < extent.end:
            data = stream.read(min(MIB, extent.end - at))
            if not data:
                raise BadImage(
                    f"{files[0]} ends after {exactly(at - extent.start)};"
                    f" its partition has {exactly(extent.length)}"
                )
            yield at, data
            at += len(data)
        if stream.read(1):
            raise BadImage(f"{files[0]} holds more than its partition's {exactly(extent.length)}")

    with unpacked(files) as stream:
        why = "every sector, as in the Clonezilla image"
        yield Held((extent,), lambda: pieces(stream), extent.length, taken=Taken.EVERY, why=why)


def file_bytes(disk: BlockFile, extents: Extents) -> Held:
    """The bytes of ``extents`` of an open disk or raw file."""

    def pieces() -> Iterator[Piece]:
        for extent in extents:
            for at in range(extent.start, extent.end, MIB):
                yield at, disk.read(at, min(MIB, extent.end - at))

    return Held(extents, pieces)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Name the file in what is wrong with the image in it."""
    try:
        yield
    except BadImage as error:
        if str(file) in error.what:
            raise
        raise BadImage(f"{file}: {error.what}", hint=error.hint) from None
