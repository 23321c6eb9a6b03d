"""Does an image go on a disk, and which disk is meant when nobody names one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from castcore.disk import (
    DiskFacts,
    DiskLayout,
    Extent,
    Partition,
    ReasonCode,
    TableType,
    choose_target,
    fit,
    needed_size,
)
from castcore.errors import Refused

GIB = 1 << 30
LAYOUT = DiskLayout(
    size=100 * GIB, sector_size=512, table=TableType.GPT, partitions=(Partition(1, 1 << 20, 10 * GIB),)
)
IN_USE = (Extent(0, 1 << 20), Extent(1 << 20, GIB))
END = 10 * GIB + (1 << 20)
TARGET = DiskFacts("/dev/sda", "wwn-1", 20 * GIB, 512, model="Disk")


def test_the_last_partition_and_the_backup_table_set_the_size() -> None:
    assert needed_size(LAYOUT, IN_USE) == END + 33 * 512
    assert needed_size(replace(LAYOUT, sector_size=4096), IN_USE) == END + 5 * 4096
    assert needed_size(replace(LAYOUT, table=TableType.MBR), IN_USE) == END


def test_bytes_in_use_behind_the_last_partition_count() -> None:
    assert needed_size(replace(LAYOUT, table=TableType.MBR), (Extent(50 * GIB, 7),)) == 50 * GIB + 512


def test_a_disk_of_the_sources_size_is_always_enough() -> None:
    assert needed_size(replace(LAYOUT, size=END + 512), IN_USE) == END + 512
    assert needed_size(LAYOUT, (Extent(0, LAYOUT.size),)) == LAYOUT.size
    assert needed_size(DiskLayout(1000, 512, TableType.NONE), (Extent(0, 1000),)) == 1000
    assert needed_size(DiskLayout(1000, 512, TableType.NONE), ()) == 0


def test_a_disk_that_is_just_large_enough_fits_and_one_byte_less_does_not() -> None:
    needed = needed_size(LAYOUT, IN_USE)
    assert fit(LAYOUT, IN_USE, replace(TARGET, size=needed)).ok
    verdict = fit(LAYOUT, IN_USE, replace(TARGET, size=needed - 1))
    assert [r.code for r in verdict.reasons] == [ReasonCode.SMALLER]
    assert f"({needed} bytes)" in verdict.reasons[0].text
    assert f"({needed - 1} bytes)" in verdict.reasons[0].text


def test_every_reason_is_given_at_once() -> None:
    bad = replace(TARGET, size=5, sector_size=4096, read_only=True, held_by="mounted at /")
    reasons = {r.code: r.text for r in fit(LAYOUT, IN_USE, bad).reasons}
    assert set(reasons) == {
        ReasonCode.SMALLER,
        ReasonCode.SECTOR_SIZE,
        ReasonCode.READ_ONLY,
        ReasonCode.IN_USE,
    }
    assert "4096" in reasons[ReasonCode.SECTOR_SIZE]
    assert "512" in reasons[ReasonCode.SECTOR_SIZE]
    assert "mounted at /" in reasons[ReasonCode.IN_USE]
    assert all("/dev/sda" in text for text in reasons.values())


def test_the_only_free_built_in_disk_is_chosen() -> None:
    stick = replace(TARGET, path="/dev/sdb", removable=True)
    locked = replace(TARGET, path="/dev/sdc", read_only=True)
    root = replace(TARGET, path="/dev/sdd", held_by="mounted at /")
    assert choose_target([stick, TARGET, locked, root]) == TARGET
    with pytest.raises(Refused) as refused:
        choose_target([stick, locked, root])
    for words in ("/dev/sdb is removable", "/dev/sdc is write-protected", "mounted at /"):
        assert words in refused.value.what


def test_two_candidates_are_named_and_none_is_chosen() -> None:
    with pytest.raises(
        Refused, match=r"2 disks .*/dev/sda \(by-id:wwn-1, Disk, 20.0 GiB\), /dev/nvme0n1"
    ):
        choose_target([TARGET, replace(TARGET, path="/dev/nvme0n1")])


def test_a_machine_without_disks_is_refused() -> None:
    with pytest.raises(Refused, match="none of the machine's 0 disks"):
        choose_target([])
