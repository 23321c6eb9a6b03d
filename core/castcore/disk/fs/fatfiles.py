"""Reading files of a FAT file system: what an EFI system partition holds. Pure.

Microsoft's "FAT32 File System Specification" 1.03 (as UEFI 2.10, section 13.3 refers to it): FAT12,
FAT16 and FAT32 with long names. Nothing a damaged one says makes us read for ever or without bounds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from castcore.disk.fs.fatgeometry import BOOT_SECTOR, ENTRY_SIZE, fat_geometry
from castcore.errors import BadImage

# (offset in the file system, length) -> its bytes
Read = Callable[[int, int], bytes]

_LONG_NAME, _VOLUME, _DIRECTORY = 0x0F, 0x08, 0x10
_LOWER_BASE, _LOWER_EXTENSION = 0x08, 0x10
_DELETED, _LAST = 0xE5, 0x00
_MOST_DIRECTORY = 2 << 20  # bytes; 65536 entries, as the specification allows
_BLOCK = 4096  # of a FAT, kept while its entries are followed


@dataclass(frozen=True, slots=True)
class FatFile:
    """A file or directory: its long name where it has one, its first cluster, its size in bytes."""

    name: str
    is_directory: bool
    cluster: int
    size: int


class FatVolume:
    """A FAT file system behind ``read``, in a partition of ``length`` bytes.

    Raises BadImage when it is none, or a damaged one.
    """

    def __init__(self, read: Read, length: int) -> None:
        self._read = read
        self._at = fat_geometry(read(0, BOOT_SECTOR), length)
        self._cached = (-1, b"")

    def entries(self, path: str = "") -> tuple[FatFile, ...]:
        """What the directory ``path`` (steps with backslashes between) holds; () when it is none."""
        found = self.find(path)
        return tuple(self._listed(found)) if found is not None and found.is_directory else ()

    def find(self, path: str) -> FatFile | None:
        """The file or directory at ``path``, in whatever case; None when there is none."""
        here = FatFile("", is_directory=True, cluster=self._at.root_cluster, size=0)
        for step in filter(None, path.split("\\")):
            if not here.is_directory:
                return None
            wanted = step.lower()
            found = next((f for f in self._listed(here) if f.name.lower() == wanted), None)
            if found is None:
                return None
            here = found
        return here

    def content(self, file: FatFile, limit: int) -> bytes:
        """The bytes of ``file``. Raises BadImage when it has more than ``limit`` of them."""
        if file.size > limit:
            raise BadImage(f"FAT: {file.name!r:.80} has {file.size} bytes, more than {limit}")
        return b"".join(self._chain(file.cluster, file.size))[: file.size] if file.size else b""

    def _listed(self, directory: FatFile) -> Iterator[FatFile]:
        if directory.cluster == 0:  # the root of FAT12 and FAT16 has a place of its own
            data = self._read(self._at.root.start, self._at.root.length)
        else:
            data = b"".join(self._chain(directory.cluster, _MOST_DIRECTORY))
        long_name = ""
        for at in range(0, len(data) // ENTRY_SIZE * ENTRY_SIZE, ENTRY_SIZE):
            entry = data[at : at + ENTRY_SIZE]
            if entry[0] == _LAST:
                return
            if entry[0] == _DELETED:
                long_name = ""
            elif entry[11] & 0x3F == _LONG_NAME:
                # The pieces of a long name stand before the entry, the last piece first.
                piece = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le", "replace")
                long_name = piece.split("\0", 1)[0] + ("" if entry[0] & 0x40 else long_name)
            else:
                name, long_name = long_name or _short_name(entry), ""
                if not entry[11] & _VOLUME and name not in (".", ".."):
                    yield self._file(entry, name)

    def _file(self, entry: bytes, name: str) -> FatFile:
        high, low, size = struct.unpack_from("<H4xHI", entry, 20)
        cluster = low | (high << 16 if self._at.bits == 32 else 0)
        directory = bool(entry[11] & _DIRECTORY)
        if directory and cluster < 2:
            raise BadImage(f"FAT: the directory {name!r:.80} has no clusters")
        return FatFile(name, directory, cluster, 0 if directory else size)

    def _chain(self, cluster: int, limit: int) -> Iterator[bytes]:
        """The clusters from ``cluster`` on, until its chain ends or ``limit`` bytes are read."""
        left = min(-(-limit // self._at.cluster), self._at.clusters)
        while left and 2 <= cluster < self._at.clusters + 2:
            yield self._read(self._at.data + (cluster - 2) * self._at.cluster, self._at.cluster)
            left -= 1
            cluster = self._next(cluster)

    def _next(self, cluster: int) -> int:
        if self._at.bits == 12:
            pair = self._fat_bytes(cluster * 3 // 2, 2)
            return pair >> 4 if cluster & 1 else pair & 0xFFF
        if self._at.bits == 16:
            return self._fat_bytes(cluster * 2, 2)
        return self._fat_bytes(cluster * 4, 4) & 0x0FFFFFFF

    def _fat_bytes(self, offset: int, length: int) -> int:
        block = offset // _BLOCK
        if self._cached[0] != block:
            # One byte more than a block: an entry of FAT12 may lie across its end.
            self._cached = (block, self._read(self._at.fats[0] + block * _BLOCK, _BLOCK + 1))
        at = offset - block * _BLOCK
        return int.from_bytes(self._cached[1][at : at + length], "little")


def _short_name(entry: bytes) -> str:
    base = entry[:8].decode("cp437").rstrip()
    extension = entry[8:11].decode("cp437").rstrip()
    # Windows NT and its followers spell a name in lower case without a long one.
    base = base.lower() if entry[12] & _LOWER_BASE else base
    extension = extension.lower() if entry[12] & _LOWER_EXTENSION else extension
    return f"{base}.{extension}" if extension else base
