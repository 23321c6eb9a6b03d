"""Fit and plan for any layout and any target: a plan never promises what a disk cannot hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

from castcore.disk import (
    DiskFacts,
    DiskLayout,
    Extent,
    Extents,
    Fit,
    Partition,
    Plan,
    ReasonCode,
    TableType,
    Wishes,
    fit,
    merge,
    needed_size,
    plan_restore,
    total,
)
from castcore.units import MIB
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn


@dataclass(frozen=True)
class Disk:
    layout: DiskLayout
    in_use: Extents


@st.composite
def imaged(draw: DrawFn) -> Disk:
    """A disk of whole sectors with partitions one behind the other, and bytes in use anywhere."""
    sector = draw(st.sampled_from((512, 4096)))
    table = draw(st.sampled_from(TableType))
    ends = sorted(draw(st.sets(st.integers(MIB // sector, 1 << 20), max_size=8)))
    partitions = tuple(
        Partition(n + 1, first * sector, (after - first) * sector)
        for n, (first, after) in enumerate(zip(ends[::2], ends[1::2], strict=False))
    )
    size = (max(ends, default=0) + draw(st.integers(64, 1 << 20))) * sector
    used = st.builds(Extent, st.integers(0, size - 1), st.integers(0, 4 * MIB))
    in_use = merge(Extent(e.start, min(e.end, size) - e.start) for e in draw(st.lists(used, max_size=6)))
    return Disk(DiskLayout(size, sector, table, partitions=partitions), in_use)


def target(disk: Disk, size: int) -> DiskFacts:
    return DiskFacts("/dev/sda", "wwn-1", size, disk.layout.sector_size)


@given(imaged(), st.integers(0, 1 << 34))
def test_a_disk_fits_exactly_from_the_needed_size_on(disk: Disk, size: int) -> None:
    needed = needed_size(disk.layout, disk.in_use)
    assert fit(disk.layout, disk.in_use, target(disk, size)).ok is (size >= needed)
    assert fit(disk.layout, disk.in_use, target(disk, needed)).ok


@given(imaged())
def test_the_needed_size_holds_all_there_is_and_the_source_always_fits(disk: Disk) -> None:
    needed = needed_size(disk.layout, disk.in_use)
    ends = [e.end for e in disk.in_use] + [p.extent.end for p in disk.layout.partitions]
    assert max(ends, default=0) <= needed <= disk.layout.size


@given(st.lists(imaged(), min_size=1, max_size=3), st.booleans(), st.booleans(), st.data())
def test_a_plan_or_reasons_and_never_both(
    disks: list[Disk], check: bool, verify: bool, data: st.DataObject
) -> None:
    targets = [
        replace(
            target(d, data.draw(st.integers(0, 2 * d.layout.size))), path=f"/dev/sd{n}", stable_id=str(n)
        )
        for n, d in enumerate(disks)
    ]
    made = plan_restore("any", disks, targets, Wishes(check=check, verify=verify))
    small = [t for d, t in zip(disks, targets, strict=True) if t.size < needed_size(d.layout, d.in_use)]
    if isinstance(made, Fit):
        assert [r.code for r in made.reasons] == [ReasonCode.SMALLER] * len(small)
        assert all(f"{t.size} bytes" in r.text for r, t in zip(made.reasons, small, strict=True))
        return
    assert isinstance(made, Plan)
    assert not small
    _require_whole(made, disks, check=check, verify=verify)


def _require_whole(made: Plan, disks: list[Disk], *, check: bool, verify: bool) -> None:
    """Every disk is written once, wholly, and gets its table after all disks were written."""
    written = {a.target: a.size for a in made.actions if a.kind.value == "write"}
    assert written == {t.path: total(d.in_use) for t, d in zip(made.targets, disks, strict=True)}
    kinds = [a.kind.value for a in made.actions]
    assert kinds.count("table") == len(disks)
    assert kinds.index("table") > max(n for n, kind in enumerate(kinds) if kind == "write")
    assert ("check" in kinds, kinds.count("verify")) == (check, len(disks) if verify else 0)
    for cleared in (a for a in made.actions if a.kind.value == "clear"):
        assert 0 < cleared.size <= MIB
