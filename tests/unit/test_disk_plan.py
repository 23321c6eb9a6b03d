"""The plan of a restore: every step in its order, or every reason against it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
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
    plan_lines,
    plan_restore,
    plan_to_json,
    refusal,
)
from castcore.errors import DoesNotFit, FleetcastError, InUse, Refused
from castcore.units import GIB, MIB


@dataclass(frozen=True)
class Disk:
    layout: DiskLayout
    in_use: Extents


LAYOUT = DiskLayout(8 * GIB, 512, TableType.GPT, partitions=(Partition(1, MIB, 4 * GIB),))
DISK = Disk(LAYOUT, (Extent(0, 17408), Extent(MIB, GIB)))
TARGET = DiskFacts("/dev/sda", "wwn-1", 10 * GIB, 512, model="Disk")
OTHER = replace(TARGET, path="/dev/sdb", stable_id="wwn-2")


def plan(wishes: Wishes, *pairs: tuple[Disk, DiskFacts]) -> Plan:
    made = plan_restore("win11", [d for d, _ in pairs], [t for _, t in pairs], wishes)
    assert isinstance(made, Plan)
    return made


def test_the_steps_of_one_disk_in_their_order() -> None:
    made = plan(Wishes(verify=True), (DISK, TARGET))
    assert [a.kind.value for a in made.actions] == ["check", "clear", "write", "table", "verify"]
    assert [a.size for a in made.actions[1:3]] == [17408, GIB + 17408]
    assert made.notes == ("/dev/sda is 2.0 GiB larger than the imaged disk: that stays free behind it",)


def test_what_is_not_wished_for_is_not_planned() -> None:
    made = plan(Wishes(check=False), (DISK, TARGET))
    assert [a.kind.value for a in made.actions] == ["clear", "write", "table"]


def test_the_plan_says_what_becomes_of_the_rest() -> None:
    untouched = plan(Wishes(), (DISK, TARGET)).actions[2]
    assert "write 1.0 GiB in 2 extents; the other 9.0 GiB are not touched" in untouched.text
    lost = plan(Wishes(delta=True, discard=True), (DISK, TARGET)).actions[2]
    assert lost.text.startswith("compare, and write what differs of 1.0 GiB")
    assert lost.text.endswith("the other 9.0 GiB are LOST: told to be free")


def test_no_disk_gets_its_table_before_all_are_written() -> None:
    made = plan(Wishes(), (DISK, TARGET), (DISK, OTHER))
    steps = [(a.kind.value, a.target) for a in made.actions[1:]]
    assert steps == [(k, p) for k in ("clear", "write", "table") for p in ("/dev/sda", "/dev/sdb")]


def test_a_plan_for_people_and_for_machines_says_the_same() -> None:
    made = plan(Wishes(verify=True), (DISK, TARGET))
    told = json.loads(json.dumps(plan_to_json(made)))
    assert (told["targets"][0]["stable_id"], told["targets"][0]["image_disk"]) == ("wwn-1", 0)
    lines = plan_lines(made)
    for action in told["actions"]:
        assert any(action["text"] in line for line in lines)
    assert any("2.0 GiB larger" in line for line in lines)


def test_a_smaller_disk_is_taken_where_all_partitions_end_in_time() -> None:
    made = plan(Wishes(), (DISK, replace(TARGET, size=5 * GIB)))
    assert made.notes == (
        "/dev/sda is 3.0 GiB smaller than the imaged disk; all partitions end in time",
    )


def test_what_an_mbr_cannot_name_is_told() -> None:
    old = Disk(replace(LAYOUT, table=TableType.MBR), DISK.in_use)
    made = plan(Wishes(), (old, replace(TARGET, size=4096 * GIB)))
    assert any("cannot name what lies behind 2.0 TiB" in note for note in made.notes)


@pytest.mark.parametrize(
    ("change", "code", "error"),
    [
        ({"size": GIB}, ReasonCode.SMALLER, DoesNotFit),
        ({"sector_size": 4096}, ReasonCode.SECTOR_SIZE, DoesNotFit),
        ({"read_only": True}, ReasonCode.READ_ONLY, Refused),
        ({"held_by": "mounted at /"}, ReasonCode.IN_USE, InUse),
        ({"boot_medium": True}, ReasonCode.BOOT_MEDIUM, Refused),
        ({"first_path": "/dev/sdc"}, ReasonCode.EXTRA_PATH, Refused),
    ],
)
def test_each_reason_has_its_error(
    change: dict[str, object], code: ReasonCode, error: type[FleetcastError]
) -> None:
    old = Disk(replace(LAYOUT, table=TableType.MBR), DISK.in_use)
    verdict = plan_restore("win11", [old], [replace(TARGET, **change)], Wishes())  # type: ignore[arg-type]
    assert isinstance(verdict, Fit)
    assert [r.code for r in verdict.reasons] == [code]
    raised = refusal("win11", verdict)
    assert type(raised) is error
    assert "/dev/sda" in raised.what
    assert raised.hint


def test_another_number_of_disks_is_refused_with_both() -> None:
    verdict = plan_restore("win11", [DISK, DISK], [TARGET], Wishes())
    assert isinstance(verdict, Fit)
    assert verdict.reasons[0].text == "the image holds 2 disks, 1 targets were given"
    assert isinstance(refusal("win11", verdict), DoesNotFit)


def test_one_disk_named_twice_is_refused_also_by_another_path() -> None:
    for other in (TARGET, replace(OTHER, first_path="/dev/sda")):
        verdict = plan_restore("win11", [DISK, DISK], [TARGET, other], Wishes())
        assert isinstance(verdict, Fit)
        assert ReasonCode.TWICE in {r.code for r in verdict.reasons}
