"""The newc archive against the kernel's description of it, field by field."""

from __future__ import annotations

import stat

import pytest
from castcore.newc import BLOCK, FIXED_TIME, Member, archive, directory, regular, symlink

from tests.support.newcreader import parsed


def test_members_come_back_in_order_with_type_mode_and_content() -> None:
    made = [
        directory("etc"),
        regular("etc/odd", b"12345"),
        regular("run-me", b"", 0o755),
        symlink("l", "etc/odd"),
    ]
    back = parsed(b"".join(archive(made)))
    assert [(n, m, d) for n, m, d, _ in back] == [
        ("etc", stat.S_IFDIR | 0o755, b""),
        ("etc/odd", stat.S_IFREG | 0o644, b"12345"),
        ("run-me", stat.S_IFREG | 0o755, b""),
        ("l", stat.S_IFLNK | 0o777, b"etc/odd"),
    ]


def test_owner_is_root_time_fixed_and_inodes_differ() -> None:
    back = [fields for *_, fields in parsed(b"".join(archive([regular("a", b"x"), regular("b", b"x")])))]
    assert [f[2:4] for f in back] == [[0, 0], [0, 0]]
    assert [f[5] for f in back] == [FIXED_TIME, FIXED_TIME]
    # Equal inodes with more than one link would make the kernel link one file to the other.
    assert len({f[0] for f in back}) == 2
    assert [f[4] for f in back] == [1, 1]


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 511, 512, 4096])
def test_an_archive_ends_on_a_block(size: int) -> None:
    assert len(b"".join(archive([regular("f", b"x" * size)]))) % BLOCK == 0


def test_the_bytes_of_one_small_archive_never_change() -> None:
    data = b"".join(archive([regular("a", b"hi\n")]))
    header = "07070100000001000081A40000000000000000000000015E0BE10000000003"
    header += "00000000" * 4 + "0000000200000000"
    assert data[:116] == header.encode() + b"a\0" + b"hi\n\0"


@pytest.mark.parametrize("name", ["", "/etc", "a\0b"])
def test_a_name_that_no_archive_may_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a member name"):
        Member(name, stat.S_IFDIR)
