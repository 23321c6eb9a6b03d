"""Relocated GUID partition tables: the protective MBR and hostile headers, by literal bytes."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from castcore.disk import relocated_backup, table_length
from castcore.errors import BadImage

SECTORS = 4096


def header(**changes: int) -> bytes:
    names = ("revision", "size", "crc", "reserved", "my", "alternate", "first", "last")
    numbers = dict(zip(names, (0x10000, 92, 0, 0, 1, SECTORS - 1, 34, SECTORS - 34), strict=True))
    tail = {"entries": 2, "count": 128, "entry_size": 128, "entries_crc": crc32(bytes(128 * 128))}
    numbers |= {k: v for k, v in changes.items() if k in numbers}
    tail |= {k: v for k, v in changes.items() if k in tail}
    raw = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", *numbers.values(), b"G" * 16, *tail.values())
    return raw[:16] + crc32(raw).to_bytes(4, "little") + raw[20:]


def front(records: dict[int, tuple[int, int, int]], raw_header: bytes = b"") -> bytes:
    """Sectors 0 to 33: MBR ``records`` (place: type, start, sectors), a header, no partition."""
    mbr = bytearray(512)
    mbr[0:4] = b"\xeb\x63\x90\x10"
    mbr[510:] = b"\x55\xaa"
    for place, (kind, start, length) in records.items():
        struct.pack_into(
            "<B3sB3sII", mbr, 446 + 16 * place, 0, b"\0\2\0", kind, b"\1\2\3", start, length
        )
    return bytes(mbr) + (raw_header or header()).ljust(512, b"\0") + bytes(128 * 128)


def test_the_protective_record_spans_the_new_disk_and_boot_code_stays() -> None:
    first = relocated_backup(front({0: (0xEE, 1, SECTORS - 1)}), 512, 10_000 * 512)[0]
    assert first.offset == 0
    assert first.data[:446] == front({})[:446]
    assert first.data[446:462] == struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff" * 3, 1, 9_999)
    assert first.data[462:] == bytes(48) + b"\x55\xaa"


def test_a_disk_over_two_tebibytes_has_the_largest_protective_record() -> None:
    first = relocated_backup(front({0: (0xEE, 1, SECTORS - 1)}), 512, 3 << 40)[0]
    assert first.data[458:462] == b"\xff" * 4


def test_a_hybrid_mbr_stays_as_it_is() -> None:
    hybrid = front({0: (0xEE, 1, 2047), 1: (0x0C, 2048, 100)})
    assert relocated_backup(hybrid, 512, 10_000 * 512)[0].data == hybrid[:512]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 91}, "header of 91 bytes"),
        ({"size": 513}, "header of 513 bytes"),
        ({"my": 2}, "out of its place"),
        ({"entries": 1}, "out of its place"),
        ({"entry_size": 64}, "entries of 64 bytes"),
        ({"count": 0}, "0 entries"),
        ({"count": 0xFFFFFFFF, "entry_size": 0xFFFFFF80}, "first 1048576 bytes"),
        ({"entries": 1 << 60}, "first 1048576 bytes"),
        ({"entries": 1000}, "entries end after"),
        ({"entries_crc": 1}, "checksum of its entries"),
    ],
)
def test_a_forged_header_is_a_bad_image(changes: dict[str, int], words: str) -> None:
    with pytest.raises(BadImage, match=words):
        relocated_backup(front({}, header(**changes)), 512, 1 << 30)


def test_the_table_ends_where_its_entries_do() -> None:
    assert table_length(front({}), 512) == 34 * 512
