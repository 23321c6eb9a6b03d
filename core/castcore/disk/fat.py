"""Reading files of a FAT file system: what an EFI system partition holds. Pure.

Microsoft's "FAT32 File System Specification" 1.03 (as UEFI 2.10, section 13.3 refers to it): FAT12,
FAT16 and FAT32 with long names. Nothing a damaged one says makes us read for ever or without bounds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from castcore.errors import BadImage

# (offset in the file system, length) -> its bytes
Read = Callable[[int, int], bytes]

# Bytes a sector, sectors a cluster, reserved sectors, FATs, root entries, sectors, media, sectors a FAT.
_BPB = struct.Struct("<HBHBHHBH")
_ENTRY_SIZE = 32
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
    """A FAT file system behind ``read``. Raises BadImage when it is none, or a damaged one."""

    def __init__(self, read: Read) -> None:
        self._read = read
        boot = read(0, 512)
        if len(boot) < 512 or boot[510:512] != b"\x55\xaa":
            raise BadImage("FAT: no boot sector")
        sector, per_cluster, reserved, copies, roots, small, _, fat16 = _BPB.unpack_from(boot, 11)
        large, fat32 = struct.unpack_from("<II", boot, 32)
        sane = sector in (512, 1024, 2048, 4096) and per_cluster.bit_count() == 1 and copies and reserved
        if not sane:
            raise BadImage("FAT: a boot sector that no FAT has")
        fat_sectors, sectors = fat16 or fat32, small or large
        root_sectors = -(-roots * _ENTRY_SIZE // sector)
        data = reserved + copies * fat_sectors + root_sectors
        if not fat_sectors or sectors <= data:
            raise BadImage("FAT: its tables are larger than itself")
        self._fat = reserved * sector
        self._root = (self._fat + copies * fat_sectors * sector, roots * _ENTRY_SIZE)
        self._data, self._cluster = data * sector, per_cluster * sector
        self._clusters = (sectors - data) // per_cluster
        self._bits = 12 if self._clusters < 4085 else 16 if self._clusters < 65525 else 32
        self._root_cluster = int.from_bytes(boot[44:48], "little") if self._bits == 32 else 0
        self._cached = (-1, b"")

    def entries(self, path: str = "") -> tuple[FatFile, ...]:
        """What the directory ``path`` (steps with backslashes between) holds; () when it is none."""
        found = self.find(path)
        return tuple(self._listed(found)) if found is not None and found.is_directory else ()

    def find(self, path: str) -> FatFile | None:
        """The file or directory at ``path``, in whatever case; None when there is none."""
        here = FatFile("", is_directory=True, cluster=self._root_cluster, size=0)
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
            data = self._read(*self._root)
        else:
            data = b"".join(self._chain(directory.cluster, _MOST_DIRECTORY))
        long_name = ""
        for at in range(0, len(data) // _ENTRY_SIZE * _ENTRY_SIZE, _ENTRY_SIZE):
            entry = data[at : at + _ENTRY_SIZE]
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
        cluster = low | (high << 16 if self._bits == 32 else 0)
        directory = bool(entry[11] & _DIRECTORY)
        if directory and cluster < 2:
            raise BadImage(f"FAT: the directory {name!r:.80} has no clusters")
        return FatFile(name, directory, cluster, 0 if directory else size)

    def _chain(self, cluster: int, limit: int) -> Iterator[bytes]:
        """The clusters from ``cluster`` on, until its chain ends or ``limit`` bytes are read."""
        left = min(-(-limit // self._cluster), self._clusters)
        while left and 2 <= cluster < self._clusters + 2:
            yield self._read(self._data + (cluster - 2) * self._cluster, self._cluster)
            left -= 1
            cluster = self._next(cluster)

    def _next(self, cluster: int) -> int:
        if self._bits == 12:
            pair = self._fat_bytes(cluster * 3 // 2, 2)
            return pair >> 4 if cluster & 1 else pair & 0xFFF
        if self._bits == 16:
            return self._fat_bytes(cluster * 2, 2)
        return self._fat_bytes(cluster * 4, 4) & 0x0FFFFFFF

    def _fat_bytes(self, offset: int, length: int) -> int:
        block = offset // _BLOCK
        if self._cached[0] != block:
            # One byte more than a block: an entry of FAT12 may lie across its end.
            self._cached = (block, self._read(self._fat + block * _BLOCK, _BLOCK + 1))
        at = offset - block * _BLOCK
        return int.from_bytes(self._cached[1][at : at + length], "little")


def _short_name(entry: bytes) -> str:
    base = entry[:8].decode("cp437").rstrip()
    extension = entry[8:11].decode("cp437").rstrip()
    # Windows NT and its followers spell a name in lower case without a long one.
    base = base.lower() if entry[12] & _LOWER_BASE else base
    extension = extension.lower() if entry[12] & _LOWER_EXTENSION else extension
    return f"{base}.{extension}" if extension else base
