"""Which disks may become a boot medium, what is shown of them, and what has to be typed."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from castcore.disk import DiskFacts, DiskLayout, Partition, TableType
from castcore.edge.commandline import Screen
from castcore.errors import DoesNotFit, FleetcastError, InUse, NotFound, Refused
from castcore.medium import MediumKind, plan_layout
from castcore.units import GIB
from castmedia import stick
from castmedia.stickpolicy import answer, described, objection

STICK = DiskFacts("/dev/sdb", "serial-4C53", 8 * GIB, 512, "Ultra", "4C53", bus="usb", removable=True)
BUILT_IN = replace(STICK, path="/dev/sda", model="860 EVO", serial="S4X1", bus="ata", removable=False)


def test_a_free_stick_may_be_written() -> None:
    assert objection(STICK, "/dev/sdb", 2 * GIB) is None
    assert (
        objection(replace(STICK, path="/dev/loop3", removable=False, serial=""), "/dev/loop3", 0) is None
    )
    assert objection(replace(STICK, path="/srv/x.img", removable=False, bus="file"), "x.img", 0) is None


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"held_by": "mounted at /media/x"}, InUse, "mounted at /media/x"),
        ({"held_by": "used as swap"}, InUse, "used as swap"),
        ({"boot_medium": True}, Refused, "was started from it"),
        ({"read_only": True}, Refused, "write-protected"),
        ({"first_path": "/dev/sdc"}, Refused, "further path to /dev/sdc"),
        ({"size": 0}, NotFound, "no medium in it"),
        ({"size": GIB}, DoesNotFit, r"has 1.0 GiB .* 2.0 GiB"),
        ({"sector_size": 4096}, Refused, "4096"),
    ],
)
def test_what_speaks_against_a_disk_is_told(
    changes: dict[str, object], error: type[FleetcastError], said: str
) -> None:
    found = objection(replace(STICK, **changes), "serial:4C53", 2 * GIB)  # type: ignore[arg-type]
    assert isinstance(found, error)
    assert re.search(said, found.what)
    assert found.hint


def test_a_disk_of_the_machine_is_written_only_when_it_is_named_by_its_number() -> None:
    for name in ("/dev/sda", "by-path:pci-0000:00:1f.2-ata-1", "by-id:ata-860_EVO"):
        found = objection(BUILT_IN, name, GIB)
        assert isinstance(found, Refused)
        assert "not removable" in found.what
        assert "--write serial:S4X1" in found.hint
    assert objection(BUILT_IN, "serial:S4X1", GIB) is None
    # And never one in use, however it is named.
    assert isinstance(objection(replace(BUILT_IN, held_by="mounted at /"), "serial:S4X1", GIB), InUse)


def test_one_without_a_number_cannot_be_named_by_it() -> None:
    found = objection(replace(BUILT_IN, serial=""), "/dev/sda", GIB)
    assert found is not None
    assert "no serial number" in found.hint


def test_model_size_serial_and_what_is_on_it_are_shown() -> None:
    parts = (
        Partition(1, 1 << 20, GIB, fstype="vfat", label="EFI"),
        Partition(2, GIB, GIB, name="Holiday photos", fstype="ext4"),
        Partition(3, 2 * GIB, GIB),
    )
    layout = DiskLayout(8 * GIB, 512, TableType.GPT, partitions=parts)
    lines = "\n".join(described(replace(STICK, layout=layout)))
    for word in ("Ultra", "4C53", "8.0 GiB", "USB removable", "vfat 'EFI'", "ext4 'Holiday photos'"):
        assert word in lines
    assert "partition 3: 1.0 GiB, unknown content" in lines


def test_an_empty_an_unreadable_and_one_of_our_own_are_told_apart() -> None:
    empty = DiskLayout(8 * GIB, 512, TableType.NONE)
    assert "nothing that is known" in described(replace(STICK, layout=empty))[1]
    assert "cannot be read" in described(STICK)[1]
    plan = plan_layout(8 * GIB, 512, MediumKind.DEPLOY)
    ours = DiskLayout(8 * GIB, 512, TableType.GPT, partitions=plan.partitions(["u"] * 4))
    assert "a Fleetcast deploy medium" in described(replace(STICK, layout=ours))[1]


def screen() -> Screen:
    return Screen(as_json=False, out=io.StringIO(), err=io.StringIO())


@pytest.mark.parametrize("typed", ["", "yes", "y", "4c53", "/dev/sdb"])
def test_anything_but_its_number_is_no_agreement(typed: str) -> None:
    with pytest.raises(Refused, match="nothing was written"):
        stick.confirm(STICK, "All is lost.", typed, screen())


def test_its_number_is_an_agreement_and_its_path_where_it_has_none() -> None:
    stick.confirm(STICK, "All is lost.", "4C53", screen())
    assert answer(replace(STICK, serial="")) == "/dev/sdb"


def test_without_anybody_there_it_says_what_to_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("4C53\n"))
    with pytest.raises(Refused) as found:
        stick.confirm(STICK, "All is lost.", None, screen())
    assert found.value.hint == "add --yes 4C53"
