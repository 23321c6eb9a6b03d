"""An image's disks as bars: each partition as wide as its share of the disk, filled as far as used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from castcore.disk import Partition, Taken, intersect, total
from castcore.disk.kinds import kind_of
from castcore.image import ImageDisk

# A bar's width in units of its own; a partition that is next to nothing can still be seen.
WIDTH = 1000
NARROWEST = 14
# Space between partitions that is less than this share of the disk is not drawn.
LEAST_GAP = 0.004
_EXTENDED = "extended"
_TINTS = (
    ("swap", ("swap",)),
    ("boot", ("EFI", "BIOS", "boot")),
    ("windows", ("Windows", "Microsoft", "NTFS", "FAT")),
    ("linux", ("Linux",)),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A partition, or (``number`` 0) a whole disk without any; sizes in bytes.

    ``x`` and ``width`` are its place in a bar of WIDTH, of which ``used_width`` is filled.
    """

    number: int
    kind: str
    holds: str
    name: str
    size: int
    used: int
    note: str
    tint: str
    x: float = 0.0
    width: float = 0.0

    @property
    def used_width(self) -> float:
        """How far it is filled."""
        return self.width * self.used / self.size if self.size else 0.0

    @property
    def percent(self) -> int:
        """How much of it is in use, rounded up: what holds anything is not empty."""
        return -(-self.used * 100 // self.size) if self.size else 0


@dataclass(frozen=True, slots=True)
class DiskBar:
    """One disk of an image; ``used`` and ``unreadable`` are bytes."""

    size: int
    sector_size: int
    table: str
    used: int
    unreadable: int
    pieces: tuple[Piece, ...]


def disk_bar(disk: ImageDisk) -> DiskBar:
    """``disk`` as a bar."""
    layout = disk.layout
    shown = [p for p in layout.partitions if kind_of(p) != _EXTENDED and p.length]
    pieces, starts = [_piece(disk, p) for p in shown], [p.start for p in shown]
    used = total(disk.in_use)
    if not pieces:
        pieces, starts = [Piece(0, "", "", "", layout.size, used, "", "other")], [0]
    return DiskBar(
        layout.size,
        layout.sector_size,
        layout.table.value,
        used,
        total(disk.unreadable),
        tuple(_placed(pieces, starts, layout.size)),
    )


def _piece(disk: ImageDisk, partition: Partition) -> Piece:
    kind = kind_of(partition)
    return Piece(
        partition.number,
        kind,
        partition.fstype,
        partition.label or partition.name,
        partition.length,
        total(intersect([partition.extent], disk.in_use)),
        partition.why or ("" if partition.taken is Taken.USED else partition.taken.value),
        _tint(kind, partition.fstype),
    )


def _tint(kind: str, holds: str) -> str:
    told = f"{kind} {holds}"
    return next((tint for tint, words in _TINTS if any(word in told for word in words)), "other")


def _placed(pieces: Sequence[Piece], starts: Sequence[int], size: int) -> Iterator[Piece]:
    """``pieces`` with their places, in the disk's order; the space between them is left free."""
    order = sorted(zip(starts, pieces, strict=True), key=lambda one: one[0])
    widths: list[tuple[Piece | None, float]] = []
    end = 0
    for start, piece in [*order, (size, None)]:
        gap = max(start - end, 0) / max(size, 1)
        if gap >= LEAST_GAP:
            widths.append((None, gap * WIDTH))
        if piece is not None:
            widths.append((piece, max(NARROWEST, piece.size / max(size, 1) * WIDTH)))
            end = max(end, start + piece.size)
    scale, x = WIDTH / sum(width for _, width in widths), 0.0
    for piece, width in widths:
        if piece is not None:
            yield replace(piece, x=round(x, 2), width=round(width * scale, 2))
        x += width * scale
