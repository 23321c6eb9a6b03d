"""btrfs: the bytes of one of its devices that its extent tree knows nothing of.

https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html. Trees are copied on write, so what the
superblock names is consistent at any moment; only a log tree holds more (blocks that no extent item
speaks of). The chunk tree says where on which device the extents' logical addresses lie. Every copy of
a chunk with the profiles single, DUP and RAID1 is whole; other profiles are not read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from castcore.disk.extent import Extent, Extents, merge, subtract
from castcore.disk.fs import Reader
from castcore.disk.fs.btrfstree import (
    SUPERBLOCK,
    Chunk,
    Leaf,
    Superblock,
    Tree,
    parse_chunk,
    parse_superblock,
    tree_root,
)
from castcore.errors import BadImage
from castcore.units import GIB, KIB, MIB

# Where a superblock or its mirrors lie, as far as the device reaches.
SUPERBLOCKS = (64 * KIB, 64 * MIB, 256 * GIB)
# btrfs keeps off the device's first MiB; boot loaders may have something there.
RESERVED = MIB

CHUNK_ITEM = 228
EXTENT_ITEM = 168
METADATA_ITEM = 169
ROOT_ITEM = 132
EXTENT_TREE = 2


def btrfs_trouble(read: Reader, _length: int) -> str:
    """ "" when what the superblock names is all there is, else why not. Raises BadImage."""
    superblock = _superblock(read)
    if superblock.log_root:
        return "was not cleanly unmounted: its log holds changes"
    return "has recorded an error" if superblock.erroneous else ""


def btrfs_free(read: Reader, length: int) -> Extents:
    """The free bytes of the device in a partition of ``length`` bytes.

    Raises BadImage when a block's checksum is wrong, or anything is not as this reader knows it.
    """
    superblock = _superblock(read)
    if superblock.device_size > length:
        raise BadImage("is larger than its partition")
    space = _Space(superblock, superblock.system_chunks)
    tree = Tree(read, superblock, space.here)
    chunks = [
        parse_chunk(logical, payload)
        for leaf in tree.leaves(superblock.chunk_root)
        for _, logical, payload in leaf.items(CHUNK_ITEM)
    ]
    space = _Space(superblock, chunks)
    tree = Tree(read, superblock, space.here)
    used: list[Extent] = []
    for leaf in tree.leaves(_extent_root(tree, superblock)):
        for extent in _allocated(leaf, superblock.node_size):
            used += space.on_device(extent)
    fixed = [Extent(0, RESERVED), *(Extent(at, SUPERBLOCK) for at in SUPERBLOCKS)]
    return subtract([Extent(0, superblock.device_size)], [*used, *fixed])


def _superblock(read: Reader) -> Superblock:
    return parse_superblock(read(SUPERBLOCKS[0], SUPERBLOCK))


def _extent_root(tree: Tree, superblock: Superblock) -> tuple[int, int, int]:
    for leaf in tree.leaves(superblock.root):
        for objectid, _, payload in leaf.items(ROOT_ITEM):
            if objectid == EXTENT_TREE:
                return tree_root(payload)
    raise BadImage("has no extent tree")


def _allocated(leaf: Leaf, node_size: int) -> Extents:
    """The logical extents that the items of an extent tree's ``leaf`` allocate."""
    starts_and_lengths = [
        *leaf.keys(EXTENT_ITEM),
        *((start, node_size) for start, _level in leaf.keys(METADATA_ITEM)),
    ]
    return merge(Extent(start, length) for start, length in starts_and_lengths)


class _Space:
    """Where logical addresses lie on this device."""

    def __init__(self, superblock: Superblock, chunks: Iterable[Chunk]) -> None:
        self._device = superblock.device
        self._size = superblock.device_size
        self._chunks = sorted(chunks, key=lambda chunk: chunk.logical.start)
        self._starts = [chunk.logical.start for chunk in self._chunks]
        ends = [chunk.logical.end for chunk in self._chunks]
        if any(end > start for end, start in zip(ends, self._starts[1:], strict=False)):
            raise BadImage("has overlapping chunks")

    def here(self, logical: int, length: int) -> tuple[int, ...]:
        """The bytes of the device at which copies of a tree block start, for there may be several.

        Raises BadImage when no chunk holds it.
        """
        chunk = self._at(logical)
        if logical + length > chunk.logical.end:
            raise BadImage(f"names logical byte {logical}, which crosses its chunk's end")
        return tuple(at + logical - chunk.logical.start for at in chunk.copies(self._device))

    def on_device(self, extent: Extent) -> Iterable[Extent]:
        """Where the bytes of a logical ``extent`` lie on this device."""
        at = extent.start
        while at < extent.end:
            chunk = self._at(at)
            length = min(extent.end, chunk.logical.end) - at
            for start in chunk.copies(self._device):
                place = Extent(start + at - chunk.logical.start, length)
                if place.end > self._size:
                    raise BadImage(f"names byte {place.end}, after its device's end")
                yield place
            at += length

    def _at(self, logical: int) -> Chunk:
        index = bisect_right(self._starts, logical) - 1
        if index < 0 or logical >= self._chunks[index].logical.end:
            raise BadImage(f"names logical byte {logical}, which no chunk holds")
        return self._chunks[index]
