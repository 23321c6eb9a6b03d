"""Domain maps: what `partclone.* -D` says of a file system, in GNU ddrescue's map file format.

https://www.gnu.org/software/ddrescue/manual/ddrescue_manual.html#Mapfile-structure: comments, one
line with the current position, then blocks of position, size and status; partclone gives blocks in
use the status ``+`` and free ones ``?``. Some versions repeat the last blocks.
"""

from __future__ import annotations

from castcore.disk.extent import Extent, Extents, merge, subtract
from castcore.errors import BadImage

IN_USE = "+"
FREE = "?"


def free_extents(text: str, length: int) -> Extents:
    """The extents of a partition of ``length`` bytes that the map ``text`` calls free.

    What the map does not speak of (a file system may end before its partition does) is not free.
    Raises BadImage when ``text`` is no complete domain map.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    free: list[Extent] = []
    used: list[Extent] = []
    for line in lines[1:]:
        extent, status = _block(line)
        (used if status == IN_USE else free).append(extent)
    # A file system's own records are always in use: a map without any was cut off.
    if not used:
        raise BadImage("domain map: it calls nothing in use")
    outside = [Extent(length, max(0, max(e.end for e in (*used, *free)) - length))]
    return subtract(merge(free), (*used, *outside))


def _block(line: str) -> tuple[Extent, str]:
    try:
        position, size, status = line.split()
        extent = Extent(int(position, 16), int(size, 16))
    except ValueError:
        raise BadImage(f"domain map: not a block: {line[:80]!r}") from None
    if status not in (IN_USE, FREE):
        raise BadImage(f"domain map: unknown status {status[:8]!r}")
    return extent, status
