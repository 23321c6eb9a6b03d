"""One partition of an image on one of a disk: every reason against it, and the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from castcore.disk import (
    DiskFacts,
    DiskLayout,
    Extent,
    Extents,
    Fit,
    Partition,
    PartitionPlan,
    ReasonCode,
    TableType,
    Taken,
    Wishes,
    fit,
    plan_partition,
    refusal,
)
from castcore.errors import DoesNotFit, InUse
from castcore.units import MIB

LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
ROOT = Partition(
    2, 101 * MIB, 100 * MIB, type=LINUX, fstype="ext4", largest_sector=4096, taken=Taken.USED
)
LAYOUT = DiskLayout(300 * MIB, 512, TableType.GPT, partitions=(Partition(1, MIB, 100 * MIB), ROOT))
PLACE = replace(ROOT, number=3, start=500 * MIB, length=200 * MIB, label="home")
TARGET = DiskFacts(
    "/dev/sda",
    "wwn-1",
    900 * MIB,
    512,
    layout=DiskLayout(900 * MIB, 512, TableType.GPT, partitions=(PLACE,)),
)


@dataclass(frozen=True)
class Disk:
    layout: DiskLayout
    in_use: Extents = (Extent(0, MIB), Extent(50 * MIB, MIB), Extent(110 * MIB, 7 * MIB))


def planned(
    layout: DiskLayout = LAYOUT, target: DiskFacts = TARGET, into: int = 3, number: int = 2
) -> PartitionPlan | Fit:
    return plan_partition("office", [Disk(layout)], (0, number), target, into, Wishes(verify=True))


def test_the_plan_writes_what_the_partition_uses_and_no_more() -> None:
    made = planned()
    assert isinstance(made, PartitionPlan)
    assert (made.source, made.place, made.target) == (ROOT, PLACE, TARGET)
    assert [(a.kind.value, a.size) for a in made.plan.actions[1:]] == [
        ("write", 7 * MIB),
        ("verify", 7 * MIB),
    ]
    assert made.plan.notes == (
        "partition 3 of /dev/sda holds ext4 home now; nothing else is touched",
        "it is 100.0 MiB larger than the image's: the file system keeps its size",
    )


def layout_with(place: Partition, **changes: object) -> DiskFacts:
    layout = replace(TARGET.layout or LAYOUT, partitions=(place,), **changes)  # type: ignore[arg-type]
    return replace(TARGET, layout=layout)


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        (
            layout_with(replace(PLACE, length=99 * MIB)),
            ReasonCode.SMALLER,
            (f"({100 * MIB} bytes)", f"({99 * MIB} bytes)"),
        ),
        (layout_with(replace(PLACE, type="c12a")), ReasonCode.PARTITION_TYPE, ("c12a", LINUX)),
        (
            layout_with(replace(PLACE, type="83"), table=TableType.MBR),
            ReasonCode.TABLE_TYPE,
            ("type mbr", "type gpt"),
        ),
        (layout_with(replace(PLACE, number=7)), ReasonCode.UNKNOWN_PARTITION, ("no partition 3", "7")),
        (replace(TARGET, layout=None), ReasonCode.UNKNOWN_PARTITION, ("no partition 3", "none")),
        (replace(TARGET, held_by="mounted at /"), ReasonCode.IN_USE, ("mounted at /",)),
        (replace(TARGET, read_only=True), ReasonCode.READ_ONLY, ("write-protected",)),
    ],
)
def test_what_is_wrong_with_the_target(
    target: DiskFacts, code: ReasonCode, words: tuple[str, ...]
) -> None:
    verdict = planned(target=target)
    assert isinstance(verdict, Fit)
    (reason,) = verdict.reasons
    assert reason.code is code
    assert all(word in reason.text for word in words)


def test_several_reasons_are_told_at_once() -> None:
    bad = replace(layout_with(replace(PLACE, length=MIB, type="x")), held_by="mounted at /mnt")
    verdict = planned(target=bad)
    assert isinstance(verdict, Fit)
    assert {r.code for r in verdict.reasons} == {
        ReasonCode.SMALLER,
        ReasonCode.PARTITION_TYPE,
        ReasonCode.IN_USE,
    }
    assert isinstance(refusal("office", verdict), DoesNotFit)
    only = planned(target=replace(TARGET, held_by="mounted at /"))
    assert isinstance(only, Fit)
    assert isinstance(refusal("office", only), InUse)


def test_other_sectors_suit_only_what_is_not_bound_to_them() -> None:
    larger = replace(TARGET, sector_size=4096)
    assert isinstance(planned(target=larger), PartitionPlan)
    for source in (replace(ROOT, largest_sector=1024), replace(ROOT, fstype="ntfs")):
        verdict = planned(replace(LAYOUT, partitions=(source,)), larger)
        assert isinstance(verdict, Fit)
        assert [r.code for r in verdict.reasons] == [ReasonCode.SECTOR_SIZE]
        assert "4096" in verdict.reasons[0].text
        assert "512" in verdict.reasons[0].text


def test_a_partition_that_the_image_does_not_hold() -> None:
    verdict = planned(number=9)
    assert isinstance(verdict, Fit)
    assert "the image has no partition 9 (it has: 1, 2)" in verdict.reasons[0].text
    left_out = replace(LAYOUT, partitions=(replace(ROOT, taken=Taken.NOTHING),))
    verdict = planned(left_out)
    assert isinstance(verdict, Fit)
    assert verdict.reasons[0].text == "the image was captured without partition 2"
    assert [r.code for r in fit(left_out, (), replace(TARGET, size=1 << 40)).reasons] == [
        ReasonCode.PARTIAL
    ]


def test_the_container_of_logical_partitions_is_neither_source_nor_place() -> None:
    container = replace(ROOT, type="05")
    old = replace(LAYOUT, table=TableType.MBR, partitions=(container,))
    verdict = planned(old, layout_with(replace(PLACE, type="05"), table=TableType.MBR))
    assert isinstance(verdict, Fit)
    assert [r.code for r in verdict.reasons] == [ReasonCode.UNKNOWN_PARTITION] * 2
