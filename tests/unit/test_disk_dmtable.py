"""Device mapper tables as `dmsetup table` prints them."""

from __future__ import annotations

import pytest
from castcore.disk import Extent
from castcore.disk.dmtable import Segment, free_below, parse_table
from castcore.errors import BadImage

KIB = 1024
LUKS = "0 1015808 crypt aes-xts-plain64 :64:logon:cryptsetup:0b7d61ce-d0 0 7:3 32768\n"
BITLOCKER = """0 16 crypt aes-xts-plain64 :32:logon:cryptsetup:x 0 7:3 33536 1 sector_size:512
16 33520 crypt aes-xts-plain64 :32:logon:cryptsetup:x 16 7:3 16
33536 128 zero
33664 100 crypt aes-xts-plain64 :32:logon:cryptsetup:x 33664 7:3 33664
"""


def test_luks_is_one_piece_behind_its_header() -> None:
    assert parse_table(LUKS, "7:3") == (Segment(Extent(0, 1015808 * 512), 32768 * 512),)


def test_the_start_of_a_bitlocker_volume_lies_elsewhere() -> None:
    segments = parse_table(BITLOCKER, "7:3")
    assert [(s.upper.start // 512, s.lower and s.lower // 512) for s in segments] == [
        (0, 33536),
        (16, 16),
        (33536, None),
        (33664, 33664),
    ]
    # Nothing is in use inside: free is what lies under it in whole encryption sectors, and that alone.
    assert free_below(segments, ()) == (
        Extent(16 * 512, 33536 * 512),
        Extent(33664 * 512, 96 * 512),
    )


def test_what_is_in_use_inside_is_in_use_below_in_whole_encryption_sectors() -> None:
    segments = (Segment(Extent(0, 64 * KIB), 16 * KIB),)
    in_use = (Extent(0, 4 * KIB), Extent(9 * KIB, 100), Extent(60 * KIB, 4 * KIB))
    assert free_below(segments, in_use) == (
        Extent(20 * KIB, 4 * KIB),
        Extent(28 * KIB, 48 * KIB),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("0 10 crypt aes key 0 7:4 0\n", "not lie on this disk alone"),
        ("0 10 striped 2 128 7:3 0 7:3 100\n", "target striped"),
        ("0 10 crypt aes key 0\n", "not understood"),
        ("nonsense\n", "not understood"),
        ("0 10 crypt c key 0 7:3 0 1 integrity:28:aead\n", "checksums elsewhere"),
    ],
)
def test_other_tables_are_refused(text: str, words: str) -> None:
    with pytest.raises(BadImage, match=words):
        parse_table(text, "7:3")
