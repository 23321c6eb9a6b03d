"""Which stick gets the logs: one just plugged in, and nothing that is anybody else's."""

from __future__ import annotations

import dataclasses

import pytest
from castclient.stick import Volume, pick
from castcore.disk import DiskFacts
from castcore.units import GIB

STICK = DiskFacts("/dev/sdb", "usb-1", 16 * GIB, 512, bus="usb", removable=True)
OLD = DiskFacts("/dev/sdc", "usb-2", 16 * GIB, 512, bus="usb", removable=True)
BUILT_IN = DiskFacts("/dev/sda", "ata-1", 500 * GIB, 512, bus="ata")
VOLUME = Volume("/dev/sdb1", "/dev/sdb", "vfat", "MYSTICK", 50.0)
BEFORE = Volume("/dev/sdc1", "/dev/sdc", "vfat", "OLD", 3.0)
INSIDE = Volume("/dev/sda1", "/dev/sda", "ext4", "root", 70.0)


def chosen(stick: DiskFacts = STICK, volume: Volume = VOLUME, *, targets: tuple[str, ...] = ()) -> str:
    found = pick([BEFORE, INSIDE, volume], [BUILT_IN, OLD, stick], since=20.0, targets=targets)
    return found.path if found is not None else ""


def test_a_stick_plugged_in_since_is_taken() -> None:
    assert chosen() == "/dev/sdb1"


@pytest.mark.parametrize("kind", ["vfat", "exfat", "ext4", "ext3", "ext2"])
def test_the_usual_file_systems_of_sticks(kind: str) -> None:
    assert chosen(volume=dataclasses.replace(VOLUME, kind=kind)) == "/dev/sdb1"


@pytest.mark.parametrize(
    "stick",
    [
        dataclasses.replace(STICK, boot_medium=True),
        dataclasses.replace(STICK, held_by="mounted at /run"),
        dataclasses.replace(STICK, read_only=True),
        dataclasses.replace(STICK, array="Volume0"),
        dataclasses.replace(STICK, bus="ata", removable=False),
    ],
)
def test_no_other_disk_is(stick: DiskFacts) -> None:
    assert chosen(stick) == ""


def test_no_target_of_the_cast_is() -> None:
    assert chosen(targets=("/dev/sdb",)) == ""


@pytest.mark.parametrize(
    "volume", [dataclasses.replace(VOLUME, kind="ntfs"), dataclasses.replace(VOLUME, kind="")]
)
def test_no_file_system_that_we_cannot_write_is(volume: Volume) -> None:
    assert chosen(volume=volume) == ""


def test_what_was_there_before_is_not() -> None:
    assert chosen(volume=dataclasses.replace(VOLUME, plugged_in=19.9)) == ""


@pytest.mark.parametrize("name", ["fleetcast-data", "fleetcast-ledger"])
def test_no_medium_of_ours_is_whatever_else_is_on_it(name: str) -> None:
    ours = Volume("/dev/sdb3", "/dev/sdb", "", name, 50.0)
    assert pick([VOLUME, ours], [STICK], since=20.0) is None


def test_the_last_one_plugged_in_is_taken_and_of_it_the_first_file_system() -> None:
    late = dataclasses.replace(STICK, path="/dev/sdd")
    volumes = [Volume(f"/dev/sdd{n}", "/dev/sdd", "ext4", "", 60.0) for n in (2, 1)]
    found = pick([VOLUME, *volumes], [STICK, late], since=20.0)
    assert found is not None
    assert found.path == "/dev/sdd1"
