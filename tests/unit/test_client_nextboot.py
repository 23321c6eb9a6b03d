"""Which firmware boot entry is the disk's: from real `efibootmgr -v` output of several firmwares."""

from __future__ import annotations

from castclient.nextboot import DiskPlace, choose, hops, parse_entries, sysfs_hops

ESP = "0fc63daf-8483-4772-8e79-3d69d8477de4"

DISK = "PciRoot(0x0)/Pci(0x1f,0x2)/Sata(0,65535,0){auto_created_boot_option}"
OVMF = f"""\
BootCurrent: 0004
Timeout: 3 seconds
BootOrder: 0004,0003,0002,0000,0001
Boot0000* UiApp\tFvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(462caa21-7614-4503-836e-8ab6f4662331)
Boot0001* UEFI QEMU DVD-ROM QM00003 \tPciRoot(0x0)/Pci(0x1f,0x2)/Sata(1,65535,0)
Boot0002* UEFI Misc Device\tPciRoot(0x0)/Pci(0x3,0x0){{auto_created_boot_option}}
Boot0003* UEFI QEMU HARDDISK QM00001 \t{DISK}
      dp: 02 01 0c 00 d0 41 03 0a 00 00 00 00 / 01 01 06 00 02 1f / 7f ff 04 00
    data: 4e ac 08 81 11 9f 59 4d 85 0e e2 1a 52 2c 59 b2
Boot0004* UEFI PXEv4 (MAC:525400123456)\tPciRoot(0x0)/Pci(0x2,0x0)/MAC(525400123456,1)/IPv4(0.0.0.0,0,0)
"""
INSTALLED = f"""\
BootCurrent: 0001
BootOrder: 0001,0000,0002
Boot0000* debian\tHD(1,GPT,{ESP.upper()},0x800,0x100000)/File(\\EFI\\debian\\shimx64.efi)
Boot0001* Network: IPv4\tPciRoot(0x0)/Pci(0x1f,0x6)/MAC(8c8caa000001,0)/IPv4(0.0.0.0,0,DHCP)
Boot0002  old\tHD(1,GPT,{ESP},0x800,0x100000)/File(\\EFI\\old\\grubx64.efi)
"""


def test_a_virtio_disk_is_known_by_its_controller() -> None:
    place = DiskPlace(
        frozenset({ESP}), sysfs_hops("/sys/devices/pci0000:00/0000:00:03.0/virtio1/block/vda")
    )
    entry = choose(parse_entries(OVMF), place)
    assert entry is not None
    assert entry.number == "0002"


def test_disks_on_one_controller_are_told_apart_by_serial() -> None:
    sata = sysfs_hops("/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda")
    entries = parse_entries(OVMF)
    chosen = choose(entries, DiskPlace(frozenset(), sata, "QM00001"))
    assert chosen is not None
    assert chosen.number == "0003"
    assert choose(entries, DiskPlace(frozenset(), sata)) is None, "a DVD drive might be meant"


def test_an_installed_system_is_known_by_its_partition() -> None:
    entry = choose(parse_entries(INSTALLED), DiskPlace(frozenset({ESP})))
    assert entry is not None
    assert (entry.number, entry.label) == ("0000", "debian")


def test_network_and_inactive_entries_are_never_the_disk() -> None:
    entries = parse_entries(INSTALLED.replace("Boot0000* debian", "Boot0000  debian"))
    assert choose(entries, DiskPlace(frozenset({ESP}), ((0x1F, 6),))) is None


def test_another_disk_has_no_entry() -> None:
    assert choose(parse_entries(OVMF), DiskPlace(frozenset({ESP}), ((9, 0),))) is None
    assert choose(parse_entries(""), DiskPlace(frozenset({ESP}))) is None


def test_entries_come_in_boot_order() -> None:
    assert [e.number for e in parse_entries(OVMF)] == ["0004", "0003", "0002", "0000", "0001"]


def test_a_disk_behind_a_bridge() -> None:
    sysfs = "/sys/devices/pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0/nvme0n1"
    path = "PciRoot(0x0)/Pci(0x1d,0x0)/Pci(0x0,0x0)/NVMe(0x1,00-25-38-B1-01-00-00-01)"
    assert hops(path) == sysfs_hops(sysfs) == ((0x1D, 0), (0, 0))
    assert hops("VenHw(99e275e7-75a0-4b37-a2e6-c5385e6c00cb)") == ()
