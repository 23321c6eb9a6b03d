"""Firmware RAID: what mdadm tells of disks, and which arrays are assembled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from castcore.disk.arrays import (
    Container,
    Member,
    Volume,
    containers,
    member_of,
    standing,
    subarray_container,
)

UUID = "9d098514:79f66963:d4f373f7:51f2bccb"
VOLUME = Volume("Volume0", "62665036:1763885d:12efb166:804e4bef")
# As mdadm 4.2 prints them.
EXPORTED = f"MD_METADATA=imsm\nMD_LEVEL=container\nMD_UUID={UUID}\nMD_DEVICES=2\n"
BRIEF = f"""ARRAY metadata=imsm UUID={UUID}
ARRAY /dev/md/Volume0 container={UUID} member=0 UUID={VOLUME.uuid}
"""
TOLD = "[Volume0]:\n     RAID Level : 1\n  Migrate State : {}\n      Map State : normal\n"
ONE = Member("/dev/sda", "imsm", UUID, 2, (VOLUME,))
TWO = replace(ONE, path="/dev/sdb")


def test_a_member_is_read_from_what_mdadm_says() -> None:
    assert member_of("/dev/sda", EXPORTED, BRIEF, TOLD.format("idle")) == ONE
    changing = member_of("/dev/sda", EXPORTED, BRIEF, TOLD.format("general migration"))
    assert changing == replace(ONE, reshaping=True)


@pytest.mark.parametrize(
    "exported",
    ["", "MD_METADATA=1.2\nMD_UUID=x\n", EXPORTED.replace("imsm", "1.2"), EXPORTED.replace(UUID, "?")],
)
def test_what_is_no_member_of_a_firmware_raid_is_none(exported: str) -> None:
    assert member_of("/dev/sda", exported, BRIEF, "") is None


def test_a_volume_without_a_name_and_one_of_another_container() -> None:
    brief = f"ARRAY container={UUID} member=0 UUID={VOLUME.uuid}\n"
    brief += f"ARRAY /dev/md/x container={VOLUME.uuid} member=0 UUID={UUID}\n"
    found = member_of("/dev/sda", EXPORTED.replace("imsm", "ddf"), brief, "")
    assert found is not None
    assert found.volumes == (Volume("", VOLUME.uuid),)


def test_an_array_whose_members_are_all_there_is_assembled() -> None:
    assert containers([TWO, ONE]) == (Container(UUID, "imsm", ("/dev/sda", "/dev/sdb"), (VOLUME,)),)


def test_one_container_may_hold_two_volumes_and_a_machine_two_containers() -> None:
    second = Volume("Volume1", "0:0:0:1")
    other = Member("/dev/sdc", "ddf", VOLUME.uuid, 1, (second,))
    both = [replace(member, volumes=(VOLUME, second)) for member in (ONE, TWO)]
    found = containers([*both, other])
    assert [(one.name, len(one.members), one.reason) for one in found] == [
        ("Volume1", 1, ""),
        ("Volume0, Volume1", 2, ""),
    ]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([ONE], "1 of its 2 members are here"),
        (
            [ONE, replace(TWO, devices=3)],
            "2 of its 3 members are here",
        ),  # one was added, the other is old
        ([ONE, replace(TWO, reshaping=True)], "it is being changed in shape"),
        ([replace(ONE, volumes=(), devices=1)], "it holds no volume"),  # a spare
    ],
)
def test_why_an_array_is_not_assembled(members: list[Member], reason: str) -> None:
    (found,) = containers(members)
    assert found.reason == reason
    named = found.name if found.volumes else UUID
    expected = f"{named}, which is not assembled: {reason}"
    assert standing("/dev/sda", [found], {}) == expected


def test_what_a_member_is_part_of() -> None:
    sets = containers([ONE, TWO])
    assert standing("/dev/sdb", sets, {VOLUME.uuid: "/dev/md126"}) == "Volume0, which is /dev/md126"
    assert standing("/dev/sdb", sets, {}) == "Volume0, which is not assembled"
    assert standing("/dev/sdz", sets, {}) == ""


@pytest.mark.parametrize(
    ("version", "container"),
    [
        ("external:/md127/0\n", "md127"),
        ("external:-md127/0", "md127"),  # kept read-only
        ("external:imsm", ""),  # the container itself
        ("1.2", ""),
        ("", ""),
    ],
)
def test_a_volume_is_told_from_other_arrays(version: str, container: str) -> None:
    assert subarray_container(version) == container
