"""A small image of format 1, written once and never again: every later version must read it alike."""

from __future__ import annotations

from pathlib import Path

from castcore.disk import BootEntry, BootLoader, DiskLayout, Extent, Partition, TableType, Taken
from castcore.disk.bootentry import Signer
from castcore.edge.image.imagefile import Image
from castcore.image import (
    CHUNK_SIZE,
    ChunkKind,
    Codec,
    ImageDisk,
    Source,
    encode_index,
    encode_manifest,
    encode_record,
    pack_name,
)
from castcore.trust import SigningKey
from castcore.units import MIB

from tests.support.images import noise

TINY = Path(__file__).parent / "tiny-v1.fcast"
ROOT = "c757a44b583c7405a3044a220ab5c56a2a261f175943c3c8bc54bbcb5e5e4213"
SIZE = 4 * MIB + 4096
TEXT = b"Fleetcast casts. " * 4096
# One data chunk with a hole inside, one of zeros, one hole, the first text again, a raw tail.
IN_USE = (
    Extent(0, len(TEXT)),
    Extent(512 * 1024, 512),
    Extent(MIB, 8192),
    Extent(3 * MIB, len(TEXT)),
    Extent(4 * MIB, 4096),
)
LAYOUT = DiskLayout(
    SIZE,
    512,
    TableType.NONE,
    partitions=(Partition(0, 0, SIZE, label="Übung", taken=Taken.EVERY, why="unknown content"),),
)
ENTRY = BootEntry("Übung", "\\EFI\\uebung\\shimx64.efi", disk=0, partition=0, data="00ff")
LOADER = BootLoader(ENTRY.loader, disk=0, partition=0, signers=(Signer("Übung CA", "11" * 32),))


def contents() -> list[bytes]:
    """The content of each chunk."""
    first = bytearray(TEXT.ljust(CHUNK_SIZE, b"\0"))
    first[512 * 1024 : 512 * 1024 + 512] = noise(512, 1)
    return [bytes(first), bytes(CHUNK_SIZE), TEXT.ljust(CHUNK_SIZE, b"\0"), noise(4096, 2)]


def test_the_manifest_says_what_it_said() -> None:
    with Image.open(TINY) as image:
        manifest = image.manifest
        assert manifest.index_digest.hex() == ROOT
        assert (manifest.name, manifest.created) == ("tiny", 1_750_000_000)
        assert manifest.disks == (ImageDisk(LAYOUT, IN_USE),)
        assert manifest.source == Source("tiny.raw", "raw")
        assert manifest.boot_entries == (ENTRY,)
        assert manifest.boot_loaders == (LOADER,)
        assert manifest.packs == ((TINY / pack_name(0)).stat().st_size,)


def test_every_chunk_holds_what_it_held() -> None:
    with Image.open(TINY) as image:
        assert [r.offset for r in image.index.records] == [0, MIB, 3 * MIB, 4 * MIB]
        assert [r.codec for r in image.index.records] == [Codec.ZSTD, Codec.NONE, Codec.ZSTD, Codec.RAW]
        assert image.index.chunks_of_kind(ChunkKind.ZERO) == [1]
        assert [bytes(image.content(n)) for n in range(4)] == contents()


def test_writing_it_again_gives_the_same_bytes() -> None:
    with Image.open(TINY) as image:
        assert encode_manifest(image.manifest) == image.manifest_bytes
        assert encode_index(map(encode_record, image.index.records)) == image.index_bytes


def test_its_signature_is_by_the_test_key() -> None:
    with Image.open(TINY) as image:
        assert image.signed_by == SigningKey(bytes(range(32))).public
