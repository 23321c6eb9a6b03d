"""Partitions are called by what they are for, and hidden ones are shown as such with their numbers."""

from __future__ import annotations

import pytest
from castcore.disk import DiskLayout, Partition, TableType
from castcore.disk.kinds import kind_of
from castcore.units import MIB
from castserver.cli.imagescreen import partition_table


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("DE94BBA4-06D1-4D40-A16A-BFD50179D6AC", "Windows recovery, hidden"),
        ("17", "NTFS or exFAT, hidden"),
        ("83", "Linux"),
        ("99", "99"),
        ("", ""),
    ],
)
def test_a_type_has_a_word(kind: str, word: str) -> None:
    assert kind_of(Partition(1, MIB, MIB, type=kind)) == word


def test_a_hidden_partition_stands_in_the_table_with_its_number() -> None:
    layout = DiskLayout(
        9 * MIB,
        512,
        TableType.MBR,
        partitions=(Partition(1, MIB, MIB, type="07"), Partition(4, 3 * MIB, MIB, type="27")),
    )
    heading, first, second = (line.split() for line in partition_table(layout))
    assert heading[0] == "#"
    assert (first[0], second[0]) == ("1", "4")
    assert "hidden" not in " ".join(first)
    assert "Windows recovery, hidden" in " ".join(second)
