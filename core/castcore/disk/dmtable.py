"""Device mapper tables: where the bytes of an unlocked volume lie on the disk below, encrypted.

`dmsetup table` prints one target a line: first sector, number of sectors, target, its parameters
(Linux, Documentation/admin-guide/device-mapper). Sectors are 512 bytes whatever the disk's are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from castcore.disk.extent import Extent, Extents, intersect, merge, shift, subtract
from castcore.errors import BadImage

SECTOR = 512
# The largest encryption sector there is: what is in use of one is in use as a whole.
CRYPT_SECTOR = 4096


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes of the upper device and where they start below; None for bytes that are nowhere there."""

    upper: Extent
    lower: int | None


def parse_table(text: str, device: str) -> tuple[Segment, ...]:
    """The segments of a table whose targets all lie on ``device`` ("7:0"), rising.

    Raises BadImage for another device, or a target whose bytes do not lie below one by one.
    """
    segments = [_segment(line, device) for line in text.splitlines() if line.strip()]
    if not segments:
        raise BadImage("its device mapper table is empty")
    return tuple(segments)


def free_below(segments: Iterable[Segment], in_use: Extents) -> Extents:
    """The bytes of the lower device that hold nothing but what is not ``in_use`` of the upper one."""
    free: list[Extent] = []
    for segment in segments:
        if segment.lower is None:
            continue
        for extent in subtract([segment.upper], intersect(in_use, [segment.upper])):
            start = -(-extent.start // CRYPT_SECTOR) * CRYPT_SECTOR
            end = extent.end // CRYPT_SECTOR * CRYPT_SECTOR
            if start < end:
                by = segment.lower - segment.upper.start
                free += shift([Extent(start, end - start)], by)
    return merge(free)


def _segment(line: str, device: str) -> Segment:
    words = line.split()
    try:
        upper = Extent(int(words[0]) * SECTOR, int(words[1]) * SECTOR)
        match words[2]:
            case "zero":
                return Segment(upper, None)
            case "linear":
                owner, start = words[3], int(words[4])
            case "crypt":
                # Cipher, key, number that its first sector counts from, then the place.
                owner, start = words[6], int(words[7])
            case target:
                raise BadImage(f"its device mapper target {target} is not read here")
    except (IndexError, ValueError):
        raise BadImage(f"its device mapper table is not understood: {line[:40]!r}") from None
    if owner != device:
        raise BadImage("it does not lie on this disk alone")
    if any(word.startswith("integrity:") for word in words[8:]):
        raise BadImage("its sectors carry checksums elsewhere")
    return Segment(upper, start * SECTOR)
