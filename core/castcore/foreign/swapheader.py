"""The header that mkswap(8) writes, for swap of which only the UUID and the label are known."""

from __future__ import annotations

import struct
from uuid import UUID

from castcore.errors import BadImage
from castcore.units import KIB

PAGE = 4 * KIB
SIGNATURE = b"SWAPSPACE2"
# linux/swap.h, union swap_header: after 1024 bytes for a boot sector the version, the last page, the
# number of bad pages, UUID and label; the signature ends the page.
INFO = struct.Struct("<III16s16s")
INFO_AT = 1024
FEWEST_PAGES = 10


def swap_header(uuid: str, label: str, length: int) -> bytes:
    """The first page of a swap area of ``length`` bytes. Raises BadImage: no UUID, or too small."""
    pages = length // PAGE
    if pages < FEWEST_PAGES:
        raise BadImage(f"a swap area of {length} bytes")
    try:
        raw = UUID(uuid).bytes if uuid else bytes(16)
    except ValueError:
        raise BadImage(f"a swap area's UUID {uuid[:40]!r}") from None
    name = label.encode(errors="replace")[:15]
    info = INFO.pack(1, min(pages - 1, 0xFFFFFFFF), 0, raw, name)
    return (bytes(INFO_AT) + info).ljust(PAGE - len(SIGNATURE), b"\0") + SIGNATURE
