"""Boot records and chains of extended ones."""

from __future__ import annotations

import struct

import pytest
from castcore.disk.mbr import BootRecord, MbrEntry, boot_records, disk_signature, parse_mbr
from castcore.errors import BadImage

EMPTY = (0, 0, 0, 0)
CONTAINER = MbrEntry(0x0F, bootable=False, start=1000, length=9000)


def record(*entries: tuple[int, int, int, int]) -> bytes:
    """A boot record of entries (flags, type, first sector, sectors)."""
    table = b"".join(struct.pack("<B3sB3sII", f, b"", t, b"", s, n) for f, t, s, n in entries)
    return (bytes(440) + b"\x2c\x00\x8d\x02\0\0" + table.ljust(64, b"\0")) + b"\x55\xaa"


def test_a_boot_record_names_its_partitions() -> None:
    sector = record((0x80, 0x07, 2048, 100), EMPTY, (0, 0x0F, 5000, 50))
    assert parse_mbr(sector) == (
        MbrEntry(7, bootable=True, start=2048, length=100),
        None,
        MbrEntry(15, bootable=False, start=5000, length=50),
        None,
    )
    assert disk_signature(sector) == "028d002c"


def test_a_chain_counts_logicals_from_their_record_and_links_from_the_container() -> None:
    disk = {
        1000: record((0, 0x83, 63, 10), (0, 0x05, 500, 100)),
        1500: record(EMPTY, (0, 0x05, 700, 100)),  # its logical partition was deleted
        1700: record((0x80, 0x82, 2, 20)),
    }
    assert boot_records(disk.__getitem__, CONTAINER) == (
        BootRecord(1000, MbrEntry(0x83, bootable=False, start=1063, length=10)),
        BootRecord(1500, None),
        BootRecord(1700, MbrEntry(0x82, bootable=True, start=1702, length=20)),
    )


@pytest.mark.parametrize("link", [0, 500])
def test_a_chain_that_loops_is_damaged(link: int) -> None:
    disk = {1000: record(EMPTY, (0, 5, 500, 1)), 1500: record(EMPTY, (0, 5, link, 1))}
    with pytest.raises(BadImage, match="loops at sector"):
        boot_records(disk.__getitem__, CONTAINER)


def test_an_endless_chain_is_damaged() -> None:
    def read(lba: int) -> bytes:
        return record(EMPTY, (0, 5, lba - CONTAINER.start + 1, 1))

    with pytest.raises(BadImage, match="loops at sector 1256"):
        boot_records(read, CONTAINER)


@pytest.mark.parametrize("sector", [b"", bytes(512), record()[:511]])
def test_what_is_no_boot_record_is_a_bad_image(sector: bytes) -> None:
    with pytest.raises(BadImage, match="no boot record"):
        parse_mbr(sector)
