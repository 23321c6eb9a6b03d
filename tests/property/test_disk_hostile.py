"""What operators write and what disks hold may be anything: an answer, or our own error."""

from __future__ import annotations

from castcore.disk import Rule, ntfs_boot_sectors, parse_rules
from castcore.disk.fssector import largest_sector
from castcore.errors import Refused
from castcore.units import parse_size
from hypothesis import given
from hypothesis import strategies as st

FSTYPES = st.sampled_from(("ext2", "ext4", "xfs", "btrfs", "ntfs", "swap", "vfat", ""))
# The fields of all superblocks that we read lie in so many bytes; what follows is nothing to us.
SECTORS = st.binary(min_size=200, max_size=200).map(lambda data: (data * 21)[:4096])
KEYS = st.sampled_from(("image_disk", "model", "bus", "min_size", "max_size", "wwn", "other"))
VALUES = st.sampled_from(
    ("1", "-1", "0", "'x'", "''", "'1 GB'", "[]", "['ata']", "true", "1.5", "inf", "9" * 5000, "{}")
)


def table_of(pairs: list[tuple[str, str]]) -> str:
    """A table of a rule file with these keys."""
    return "\n".join(["[[disk]]", *(f"{key} = {value}" for key, value in pairs)])


@given(st.text() | st.lists(st.tuples(KEYS, VALUES), max_size=4).map(table_of))
def test_any_text_is_rules_or_refused(text: str) -> None:
    try:
        rules = parse_rules(text)
    except Refused:
        return
    assert rules
    assert all(isinstance(rule, Rule) and rule.image_disk >= 0 for rule in rules)
    assert all(rule != Rule(image_disk=rule.image_disk) for rule in rules)


def test_lists_without_end_are_refused() -> None:
    try:
        parse_rules("disk = " + "[" * 100_000)
    except Refused:
        return
    raise AssertionError


@given(st.text())
def test_any_text_is_a_size_or_none(text: str) -> None:
    try:
        assert parse_size(text) >= 0
    except ValueError:
        return


@given(FSTYPES, SECTORS, st.integers(0, 1 << 40))
def test_any_superblock_has_a_largest_sector_or_none(fstype: str, data: bytes, length: int) -> None:
    found = largest_sector(fstype, length, lambda at, n: data[at % 2048 : at % 2048 + n])
    assert found == 0 or (512 <= found <= 65536 and found & (found - 1) == 0)


@given(SECTORS, st.booleans())
def test_any_boot_sector_is_written_anew_as_one(boot: bytes, up: bool) -> None:
    old, new = (512, 4096) if up else (4096, 512)
    first, copy = ntfs_boot_sectors(boot, 1 << 30, old, new)
    assert len(first.data) == len(copy.data) == new
    assert first.data[11:13] == new.to_bytes(2, "little")
    assert (first.offset, copy.offset + new) == (0, 1 << 30)
