"""Small images for tests, made by the real writer from a raw file and extents given outright."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path
from zlib import crc32

from castcore.disk import DiskLayout, Extent, Extents, Partition, TableType, Taken
from castcore.edge.image.capture import CaptureOptions, write_image
from castcore.edge.image.partial import Partial
from castcore.image import ImageDisk, Manifest, Source
from castcore.units import MIB

SECTOR = 512


def make_image(
    store: Path,
    name: str,
    raw: Path,
    in_use: Extents,
    *,
    table: TableType = TableType.NONE,
    partitions: tuple[Partition, ...] = (),
) -> Path:
    """An image of ``raw`` that holds ``in_use``."""
    layout = DiskLayout(raw.stat().st_size, SECTOR, table, partitions=partitions)
    plan = Manifest(
        name=name,
        created=1_750_000_000,
        disks=(ImageDisk(layout, in_use),),
        index_digest=b"",
        chunk_count=0,
        packs=(),
        source=Source(path=raw.name, format="raw"),
        made_by="fleetcast tests",
    )
    path = store / f"{name}.fcast"
    with Partial(store, name) as partial:
        write_image([raw], partial.path, plan, CaptureOptions())
        partial.publish(path, replace=False)
    return path


def noise(length: int, seed: int) -> bytes:
    """Bytes that no compressor shrinks."""
    from blake3 import blake3

    return blake3(seed.to_bytes(8, "little")).digest(length=length)


def write_at(path: Path, offset: int, data: bytes) -> None:
    """Overwrite part of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path: Path, offset: int) -> None:
    """Invert one byte of a file."""
    with path.open("rb") as file:
        file.seek(offset)
        old = file.read(1)
    write_at(path, offset, bytes([old[0] ^ 0xFF]))


def blank(path: Path, size: int) -> Path:
    """A sparse file of ``size`` bytes."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def gpt_disk(path: Path, size: int) -> tuple[Partition, Extents]:
    """A disk with one partition of noise from 1 MiB on; returns it and what is in use, backup apart."""
    blank(path, size)
    partition = Partition(1, MIB, MIB + 3 * SECTOR, type="linux", name="data", taken=Taken.EVERY)
    entries = _gpt_entries(partition)
    last = size // SECTOR - 1
    mbr = bytearray(SECTOR)
    mbr[446:462] = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, last)
    mbr[510:] = b"\x55\xaa"
    write_at(path, 0, bytes(mbr) + _gpt_header(1, last, 2, entries, last) + entries)
    write_at(path, (last - 32) * SECTOR, entries + _gpt_header(last, 1, last - 32, entries, last))
    write_at(path, partition.start, noise(partition.length, 1))
    return partition, (Extent(0, 34 * SECTOR), partition.extent)


def _gpt_entries(partition: Partition) -> bytes:
    linux = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le
    first, after = partition.start // SECTOR, partition.extent.end // SECTOR
    name = "data".encode("utf-16-le")
    one = struct.pack("<16s16sQQQ72s", linux, uuid.UUID(int=7).bytes_le, first, after - 1, 0, name)
    return one.ljust(128 * 128, b"\0")


def _gpt_header(mine: int, other: int, entries_lba: int, entries: bytes, last: int) -> bytes:
    fields = (
        mine,
        other,
        34,
        last - 33,
        uuid.UUID(int=9).bytes_le,
        entries_lba,
        128,
        128,
        crc32(entries),
    )
    raw = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, *fields)
    return (raw[:16] + crc32(raw).to_bytes(4, "little") + raw[20:]).ljust(SECTOR, b"\0")
