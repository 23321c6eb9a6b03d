"""Boot entries of UEFI: as the firmware's bytes, as an image's, and what changes after a restore."""

from __future__ import annotations

from dataclasses import replace

import pytest
from castcore.disk import BootEntry, DiskLayout, Partition, TableType
from castcore.disk.bootentry import load_option, recorded
from castcore.disk.bootplan import BootVariables, WrittenDisk, disk_entry, plan_boot
from castcore.disk.devicepath import (
    DevicePath,
    FilePath,
    HardDrive,
    OtherNode,
    PciHop,
    Signature,
    encode_device_path,
    parse_device_path,
)
from castcore.disk.loadoption import LoadOption, encode_load_option, parse_load_option
from castcore.edge.disk.bootafter import sysfs_hops
from castcore.errors import BadImage
from castcore.units import MIB
from hypothesis import given
from hypothesis import strategies as st

ESP = "0fc63daf-8483-4772-8e79-3d69d8477de4"
OLD = "11111111-8483-4772-8e79-3d69d8477de4"
OTHER = "22222222-8483-4772-8e79-3d69d8477de4"
SHIM = "\\EFI\\debian\\shimx64.efi"
LAYOUT = DiskLayout(
    64 * MIB, 512, TableType.GPT, partitions=(Partition(1, MIB, 32 * MIB, uuid=ESP.upper()),)
)
# PciRoot(0x0)/Pci(0x1f,0x2)/Sata(0,65535,0), as OVMF spells it.
SATA = bytes.fromhex("02010c00d041030a00000000 01010600021f 03120a000000ffff0000 7fff0400")
ROOT = OtherNode(0x02, 0x01, bytes.fromhex("d041030a00000000"))
MAC = OtherNode(0x03, 0x0B, bytes(33))


def hard_drive(mark: str = ESP) -> HardDrive:
    return HardDrive(1, 2048, 65536, Signature.GPT, mark)


def on_disk(description: str, mark: str = ESP, loader: str = SHIM) -> LoadOption:
    return LoadOption(description, (hard_drive(mark), FilePath(loader)))


def whole(description: str, *hops: PciHop) -> LoadOption:
    return LoadOption(description, (ROOT, *hops), b"auto")


NETWORK = LoadOption("UEFI PXEv4", (ROOT, PciHop(2, 0), MAC))
SHELL = LoadOption("EFI Internal Shell", (OtherNode(4, 7, bytes(16)), OtherNode(4, 6, bytes(16))))


def test_the_bytes_are_those_of_the_specification() -> None:
    # HD(1,GPT,0fc63daf-8483-4772-8e79-3d69d8477de4,0x800,0x10000)/File(\A), active, then 2 data bytes.
    drive = "04012a00 01000000 0008000000000000 0000010000000000 af3dc60f838472478e793d69d8477de4 0202"
    file = "04040a00 5c0041000000"
    value = bytes.fromhex(f"01000000 3800 6400 6500 6200 0000 {drive} {file} 7fff0400 beef")
    option = LoadOption("deb", (hard_drive(), FilePath("\\A")), b"\xbe\xef")
    assert encode_load_option(option) == value
    assert parse_load_option(value) == option


def test_a_disks_controller_is_read_and_kept() -> None:
    path = parse_device_path(SATA)
    assert encode_device_path(path) == SATA
    assert LoadOption("", path).hops == (PciHop(0x1F, 2),)
    assert LoadOption("", path[1:]).hops == (), "not from the root bridge"


def test_a_disk_behind_a_bridge() -> None:
    sysfs = "/sys/devices/pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0/nvme0n1"
    assert sysfs_hops(sysfs) == (PciHop(0x1D, 0), PciHop(0, 0))


def test_a_path_in_two_nodes_is_one_loader() -> None:
    path: DevicePath = (hard_drive(), FilePath("\\EFI\\debian\\"), FilePath("\\shimx64.efi"))
    assert LoadOption("", path).loader == SHIM


@pytest.mark.parametrize(
    "value",
    [b"", b"\1\0\0\0\x04", bytes.fromhex("01000000 0800 0000 7fff"), bytes.fromhex("01000000 0400")],
)
def test_a_cut_off_entry_is_refused(value: bytes) -> None:
    with pytest.raises(BadImage):
        parse_load_option(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_refused(data: bytes) -> None:
    for value in (data, bytes.fromhex("01000000 c000 0000") + data):
        try:
            option = parse_load_option(value)
        except BadImage:
            continue
        again = parse_load_option(encode_load_option(option))
        assert parse_load_option(encode_load_option(again)) == again


def test_an_images_entry_is_recorded_and_made_again_for_another_table() -> None:
    windows = replace(on_disk("Windows"), data=b"WINDOWS\0", attributes=0)
    options = [NETWORK, whole("UEFI disk", PciHop(3, 0)), windows, on_disk("other", OTHER)]
    (entry,) = recorded(options, [LAYOUT])
    assert entry == BootEntry("Windows", SHIM, 0, 1, b"WINDOWS\0".hex(), active=False)
    assert load_option(entry, LAYOUT) == windows
    moved = replace(LAYOUT, sector_size=4096, partitions=(Partition(1, 2 * MIB, 8 * MIB, uuid=OTHER),))
    again = load_option(entry, moved)
    assert again is not None
    assert again.partition == HardDrive(1, 512, 2048, Signature.GPT, OTHER)
    assert load_option(replace(entry, partition=2), LAYOUT) is None


def test_an_mbr_disks_entry_names_its_signature() -> None:
    layout = DiskLayout(
        64 * MIB, 512, TableType.MBR, "90909090", (Partition(2, MIB, 32 * MIB, type="ef"),)
    )
    option = load_option(BootEntry("x", SHIM, 0, 2), layout)
    assert option is not None
    assert parse_load_option(encode_load_option(option)) == option
    assert recorded([option], [LAYOUT, layout]) == (BootEntry("x", SHIM, 1, 2),)


def variables(*options: LoadOption) -> BootVariables:
    """Entries 0, 1, ... tried in this order."""
    return BootVariables(dict(enumerate(options)), tuple(range(len(options))))


DISK = WrittenDisk(marks=frozenset({ESP}), gone=frozenset({OLD}), hops=(PciHop(3, 0),))


def test_a_new_entry_stands_where_the_former_systems_stood() -> None:
    now = variables(NETWORK, on_disk("old", OLD), SHELL)
    plan = plan_boot(now, [on_disk("debian")], DISK)
    assert plan.writes == ((1, on_disk("debian")),)
    assert (plan.removes, plan.order, plan.next) == ((), (0, 1, 2), 1)


def test_a_new_entry_stands_before_the_firmwares_own_of_the_disk() -> None:
    now = variables(NETWORK, SHELL, whole("UEFI Misc Device", PciHop(3, 0)))
    plan = plan_boot(now, [on_disk("debian"), on_disk("second", loader="\\b.efi")], DISK)
    assert (plan.removes, plan.order, plan.next) == ((), (0, 1, 3, 4, 2), 3)


def test_a_new_entry_stands_behind_the_networks() -> None:
    now = variables(SHELL, NETWORK, whole("UEFI other disk", PciHop(4, 0)))
    assert plan_boot(now, [on_disk("debian")], DISK).order == (0, 1, 3, 2)
    assert plan_boot(variables(SHELL), [on_disk("debian")], DISK).order == (1, 0)


def test_what_is_right_already_is_not_written() -> None:
    now = variables(NETWORK, on_disk("debian"))
    plan = plan_boot(now, [on_disk("debian")], DISK)
    assert (plan.writes, plan.removes, plan.order, plan.next) == ((), (), now.order, 1)


def test_a_changed_entry_keeps_its_number_and_place() -> None:
    now = variables(on_disk("debian"), NETWORK)
    renamed = on_disk("Debian 13", loader=SHIM.upper())
    plan = plan_boot(now, [renamed], DISK)
    assert (plan.writes, plan.order, plan.next) == (((0, renamed),), (0, 1), 0)


def test_entries_of_other_disks_and_unreadable_ones_are_left_alone() -> None:
    odd = LoadOption("", (), b"\xff", attributes=0)
    now = variables(on_disk("windows", OTHER), odd, on_disk("old", OLD), on_disk("older", OLD, "\\x"))
    plan = plan_boot(now, [], DISK)
    assert (plan.writes, plan.removes, plan.order, plan.next) == ((), (2, 3), (0, 1), None)


def test_an_order_that_names_what_is_not_there_is_kept() -> None:
    now = BootVariables({7: NETWORK}, (9, 7))
    plan = plan_boot(now, [on_disk("debian")], DISK)
    assert (plan.order, plan.next) == ((9, 7, 0), 0)


def test_a_virtio_disk_is_known_by_its_controller() -> None:
    now = variables(NETWORK, whole("UEFI Misc Device", PciHop(3, 0)))
    assert disk_entry(now, DISK) == 1


def test_disks_on_one_controller_are_told_apart_by_serial() -> None:
    sata = PciHop(0x1F, 2)
    now = variables(whole("UEFI QEMU DVD-ROM QM00003", sata), whole("UEFI QEMU DISK QM00001", sata))
    place = WrittenDisk(frozenset(), hops=(sata,), serial="QM00001")
    assert disk_entry(now, place) == 1
    assert disk_entry(now, replace(place, serial="")) is None, "a DVD drive might be meant"


def test_network_and_inactive_entries_are_never_the_disk() -> None:
    now = variables(replace(on_disk("debian"), attributes=0), NETWORK)
    assert disk_entry(now, replace(DISK, hops=(PciHop(2, 0),))) is None


def test_an_installed_system_comes_before_the_whole_disk() -> None:
    now = variables(whole("UEFI Misc Device", PciHop(3, 0)), on_disk("debian"))
    assert disk_entry(now, DISK) == 1
