"""Naming disks by what stays; several paths to a LUN and members of a firmware RAID are no targets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from castcore.disk import (
    DiskFacts,
    DiskLayout,
    Partition,
    ReasonCode,
    TableType,
    choose_target,
    find_disk,
    fit,
    with_first_paths,
)
from castcore.errors import NotFound, Refused
from castcore.units import GIB

# As udev tells of a LUN of a storage array that two ports of a host bus adapter reach.
PATH_B = DiskFacts(
    "/dev/sdb",
    "wwn-0x600507680c8081",
    100 * GIB,
    512,
    model="2145",
    serial="600507680c8081",
    wwn="0x600507680c8081",
    bus="scsi",
    names=("by-id/wwn-0x600507680c8081", "by-path/pci-0000:05:00.0-fc-0x5005-lun-0"),
)
PATH_A = replace(
    PATH_B,
    path="/dev/sdc",
    names=("by-id/wwn-0x600507680c8081", "by-path/pci-0000:04:00.0-fc-0x5005-lun-0"),
)
LOCAL = DiskFacts(
    "/dev/sda",
    "wwn-0x5000c500a1",
    200 * GIB,
    512,
    model="ST200",
    serial="Z1",
    wwn="0x5000c500a1",
    bus="ata",
    names=("by-id/ata-ST200_Z1", "by-id/wwn-0x5000c500a1", "by-path/pci-0000:00:17.0-ata-1"),
)
LAYOUT = DiskLayout(GIB, 512, TableType.NONE)


@pytest.mark.parametrize(
    "selector",
    [
        "by-id:ata-ST200_Z1",
        "by-id:wwn-0x5000c500a1",
        "by-path:pci-0000:00:17.0-ata-1",
        "wwn:0x5000c500a1",
        "wwn:5000C500A1",
        "serial:Z1",
    ],
)
def test_a_disk_is_found_by_each_of_its_names(selector: str) -> None:
    assert find_disk(selector, [PATH_A, LOCAL]) == LOCAL


def test_where_udev_made_no_links_its_stable_name_serves() -> None:
    assert find_disk("by-id:wwn-0x5000c500a1", [replace(LOCAL, names=())]).path == "/dev/sda"


def test_an_unknown_name_lists_the_disks() -> None:
    with pytest.raises(NotFound, match=r"/dev/sda \(by-id:wwn-0x5000c500a1, ST200, 200.0 GiB\)"):
        find_disk("serial:Z2", [LOCAL])
    with pytest.raises(NotFound):
        find_disk("wwn:0x5", [replace(LOCAL, wwn="")])


def test_a_name_of_two_disks_is_refused() -> None:
    with pytest.raises(Refused, match="names 2 disks"):
        find_disk("serial:Z1", [LOCAL, replace(LOCAL, path="/dev/sdz", wwn="0x1")])


def test_a_lun_on_two_paths_counts_once_whatever_the_kernel_found_first() -> None:
    for order in ([PATH_A, PATH_B, LOCAL], [LOCAL, PATH_B, PATH_A]):
        seen = {f.path: f.first_path for f in with_first_paths(order)}
        assert seen == {"/dev/sda": "", "/dev/sdb": "/dev/sdc", "/dev/sdc": ""}
    marked = with_first_paths([PATH_B, PATH_A])
    assert find_disk("wwn:0x600507680c8081", marked).path == "/dev/sdc"
    assert choose_target(marked).path == "/dev/sdc"
    verdict = fit(LAYOUT, (), marked[0])
    assert [r.code for r in verdict.reasons] == [ReasonCode.EXTRA_PATH]
    assert verdict.reasons[0].text == "/dev/sdb is a further path to the disk /dev/sdc"


@pytest.mark.parametrize(
    "difference",
    [{"size": GIB}, {"serial": "other"}, {"model": "other"}, {"sector_size": 4096}, {"wwn": ""}],
)
def test_disks_that_differ_are_no_paths_of_one(difference: dict[str, object]) -> None:
    other = replace(PATH_B, **difference)  # type: ignore[arg-type]
    assert not any(f.first_path for f in with_first_paths([PATH_A, other]))


def test_equal_numbers_on_a_bus_without_several_paths_mean_nothing() -> None:
    copies = [replace(LOCAL, path=f"/dev/sd{c}", bus=bus) for bus in ("ata", "usb") for c in "xy"]
    assert not any(f.first_path for f in with_first_paths(copies))


@pytest.mark.parametrize(("fstype", "maker"), [("isw_raid_member", "IMSM"), ("ddf_raid_member", "DDF")])
def test_a_member_of_a_firmware_raid_is_no_target(fstype: str, maker: str) -> None:
    member = replace(
        LOCAL,
        layout=DiskLayout(200 * GIB, 512, TableType.NONE, "", (Partition(0, 0, GIB, fstype=fstype),)),
    )
    (reason,) = fit(LAYOUT, (), member).reasons
    assert reason.code is ReasonCode.RAID_MEMBER
    assert "/dev/sda" in reason.text
    assert maker in reason.text
    with pytest.raises(Refused, match="firmware RAID"):
        choose_target([member])
    # Software RAID is the operating system's own affair: its member may be erased.
    soft = replace(member.layout.partitions[0], fstype="linux_raid_member") if member.layout else None
    assert soft is not None
    clean = replace(LOCAL, layout=replace(LAYOUT, partitions=(soft,)))
    assert choose_target([clean]) == clean


def test_the_boot_medium_is_no_target() -> None:
    stick = replace(LOCAL, path="/dev/sdq", boot_medium=True)
    with pytest.raises(Refused, match="started from"):
        choose_target([stick])
    assert choose_target([stick, LOCAL]) == LOCAL
