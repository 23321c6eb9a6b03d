"""Surveys of real file systems: what is not in use may hold anything, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from castcore.disk import DiskLayout, Extent, Partition, TableType, Taken, intersect, needed_size, total
from castcore.edge.disk.survey import Survey, SurveyOptions, survey
from castcore.edge.run import find, run

from tests.block.diskimages import (
    MIB,
    SAMPLES,
    SECONDS,
    Sample,
    copy_into,
    cut_out,
    loop,
    make,
    require_tools,
    with_free_bytes_spoilt,
)

pytestmark = pytest.mark.root

GPT_SCRIPT = """label: gpt
start=1MiB, size=48MiB, type=U, name="EFI"
start=50MiB, size=97MiB, type=L, name="Wurzel \u00e4"
start=148MiB, size=16MiB, type=S
start=164MiB, size=16MiB, type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE
start=180MiB, size=48MiB, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7
start=230MiB, size=320MiB, type=L
start=550MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649
start=551MiB, size=4MiB, type=L
"""
MBR_SCRIPT = """label: dos
start=1MiB, size=32MiB, type=83, bootable
start=40MiB, size=120MiB, type=f
start=42MiB, size=48MiB, type=c
start=100MiB, size=40MiB, type=83
"""


def partitioned(path: Path, script: str, size: int, *, sector_size: int = 512) -> Path:
    with path.open("wb") as out:
        out.truncate(size)
    with loop(path, sector_size=sector_size) as device:
        # A loop device without partition nodes cannot take the new table: that is no failure here.
        run(
            ["sfdisk", "-q", "--no-reread", "--no-tell-kernel", device],
            timeout=SECONDS,
            data=script.encode(),
        )
    return path


@pytest.fixture(scope="module")
def gpt_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with an ESP, ext4, swap, MSR, NTFS, XFS, a BIOS boot and an unknown partition."""
    folder = tmp_path_factory.mktemp("gpt")
    require_tools(*(SAMPLES[name] for name in ("vfat", "ext4", "ntfs", "xfs")))
    disk = partitioned(folder / "disk.img", GPT_SCRIPT, 600 * MIB)
    for name, start in (("vfat", 1), ("ext4", 50), ("ntfs", 180), ("xfs", 230)):
        copy_into(make(SAMPLES[name], folder / name), disk, start * MIB)
    swap = folder / "swap"
    swap.write_bytes(bytes(16 * MIB))
    run(["mkswap", "-q", "-L", "pages", str(swap)], timeout=SECONDS)
    copy_into(swap, disk, 148 * MIB)
    with disk.open("r+b") as write:
        for at in (0, 440 - 16, 20 * 1024, 550 * MIB + 5, 551 * MIB + 100):  # boot code, GRUB's core...
            write.seek(at)
            write.write(b"\xebboot code")
    return disk


def by_number(layout: DiskLayout) -> dict[int, Partition]:
    return {p.number: p for p in layout.partitions}


def check_file_system(sample: Sample, disk: Path, extent: Extent, spoilt: Path) -> None:
    """The file system in ``extent`` is clean and has the same files in ``disk`` and ``spoilt``."""
    before = cut_out(disk, extent, spoilt.with_suffix(".before"))
    after = cut_out(spoilt, extent, spoilt.with_suffix(".after"))
    run([*sample.check, str(after)], timeout=SECONDS)
    files = sample.digests(after)
    assert files == sample.digests(before)
    assert len(files) >= 20


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_whole_disk_file_system_needs_only_what_is_in_use(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    disk = make(sample, tmp_path / "disk.img")
    result = survey(disk)
    assert result.layout.table is TableType.NONE
    (whole,) = result.layout.partitions
    assert (whole.number, whole.fstype, whole.taken, whole.why) == (0, sample.fstype, Taken.USED, "")
    # XFS's log (64 MiB) is in use; the samples' files are below 8 MiB.
    assert total(result.in_use) < sample.size // 2
    spoilt = with_free_bytes_spoilt(disk, result.in_use, tmp_path / "spoilt.img")
    check_file_system(sample, disk, Extent(0, sample.size), spoilt)


def test_an_exfat_keeps_its_bitmap_and_root(tmp_path: Path) -> None:
    if missing := [p for p in ("mkfs.exfat", "fsck.exfat") if find(p) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"\x5a" * (64 * MIB))
    run(["mkfs.exfat", "-L", "cast", str(disk)], timeout=SECONDS)
    result = survey(disk)
    (whole,) = result.layout.partitions
    assert (whole.fstype, whole.label, whole.taken) == ("exfat", "cast", Taken.USED)
    assert total(result.in_use) < 4 * MIB
    spoilt = with_free_bytes_spoilt(disk, result.in_use, tmp_path / "spoilt.img")
    run(["fsck.exfat", "-n", str(spoilt)], timeout=SECONDS)


def test_a_gpt_disk_survives_the_loss_of_every_free_byte(gpt_disk: Path, tmp_path: Path) -> None:
    result = survey(gpt_disk)
    parts = by_number(result.layout)
    assert result.layout.table is TableType.GPT
    assert [parts[n].fstype for n in range(1, 9)] == ["vfat", "ext4", "swap", "", "ntfs", "xfs", "", ""]
    kinds = [parts[n].taken for n in range(1, 9)]
    assert kinds == [*[Taken.USED] * 2, Taken.HEADER, Taken.EVERY, *[Taken.USED] * 2, *[Taken.EVERY] * 2]
    assert [parts[n].why for n in (4, 7, 8)] == ["reserved by Windows", "boot code", "unknown content"]
    assert parts[2].name == "Wurzel \u00e4"
    spoilt = with_free_bytes_spoilt(gpt_disk, result.in_use, tmp_path / "spoilt.img")
    for number, name in ((1, "vfat"), (2, "ext4"), (5, "ntfs"), (6, "xfs")):
        check_file_system(SAMPLES[name], gpt_disk, parts[number].extent, spoilt)
    check_identical(gpt_disk, spoilt, [Extent(0, MIB), *(parts[n].extent for n in (4, 7, 8))])
    swap = cut_out(spoilt, parts[3].extent, tmp_path / "swap")
    assert b"pages" in run(["swaplabel", str(swap)], timeout=SECONDS)


def check_identical(left: Path, right: Path, extents: list[Extent]) -> None:
    with left.open("rb") as a, right.open("rb") as b:
        for extent in extents:
            a.seek(extent.start)
            b.seek(extent.start)
            assert a.read(extent.length) == b.read(extent.length)


def test_the_backup_table_is_no_data_but_needs_room(gpt_disk: Path) -> None:
    result = survey(gpt_disk)
    backup = Extent(600 * MIB - 33 * 512, 33 * 512)
    assert intersect(result.in_use, [backup]) == ()
    assert needed_size(result.layout, result.in_use) == 555 * MIB + 33 * 512


def test_a_device_gives_the_survey_of_its_file(gpt_disk: Path) -> None:
    expected = survey(gpt_disk)
    with loop(gpt_disk) as device:
        assert survey(device) == expected


def test_a_disk_of_large_sectors_is_surveyed_as_device_and_as_file(tmp_path: Path) -> None:
    script = "label: gpt\nstart=16MiB, size=96MiB\n"
    disk = partitioned(tmp_path / "disk.img", script, 128 * MIB, sector_size=4096)
    copy_into(make(SAMPLES["ext4"], tmp_path / "ext4"), disk, 16 * MIB)
    result = survey(disk, SurveyOptions(sector_size=4096))
    with loop(disk, sector_size=4096) as device:
        assert survey(device) == result
    (part,) = result.layout.partitions
    assert (part.start, part.fstype, part.taken) == (16 * MIB, "ext4", Taken.USED)
    assert needed_size(result.layout, result.in_use) == 112 * MIB + 5 * 4096
    spoilt = with_free_bytes_spoilt(disk, result.in_use, tmp_path / "spoilt.img")
    check_file_system(SAMPLES["ext4"], disk, part.extent, spoilt)


def test_no_loop_device_is_left_behind(gpt_disk: Path) -> None:
    survey(gpt_disk)
    assert str(gpt_disk) not in run(["losetup", "--list"], timeout=SECONDS).decode()


def test_logical_partitions_keep_their_chain(tmp_path: Path) -> None:
    disk = partitioned(tmp_path / "disk.img", MBR_SCRIPT, 200 * MIB)
    places = (("ext2", 1), ("vfat", 42), ("ext4-1k", 100))
    for name, start in places:
        copy_into(make(SAMPLES[name], tmp_path / name), disk, start * MIB)
    result = survey(disk)
    parts = by_number(result.layout)
    assert [(n, p.type, p.fstype, p.taken) for n, p in sorted(parts.items())] == [
        (1, "83", "ext2", Taken.USED),
        (2, "0f", "", Taken.HEADER),
        (5, "0c", "vfat", Taken.USED),
        (6, "83", "ext4", Taken.USED),
    ]
    assert parts[1].bootable
    spoilt = with_free_bytes_spoilt(disk, result.in_use, tmp_path / "spoilt.img")
    table = run(["sfdisk", "--dump", str(spoilt)], timeout=SECONDS)
    assert table.replace(b"spoilt.img", b"disk.img") == run(
        ["sfdisk", "--dump", str(disk)], timeout=SECONDS
    )
    for number, (name, _) in zip((1, 5, 6), places, strict=True):
        check_file_system(SAMPLES[name], disk, parts[number].extent, spoilt)
    assert needed_size(result.layout, result.in_use) == 160 * MIB


def test_unknown_content_is_taken_whole(tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"\x5a" * (4 * MIB))
    assert survey(disk) == Survey(
        DiskLayout(4 * MIB, 512, TableType.NONE, "", (Partition(0, 0, 4 * MIB, why="unknown content"),)),
        (Extent(0, 4 * MIB),),
    )


def test_a_damaged_table_is_taken_whole_and_says_so(gpt_disk: Path, tmp_path: Path) -> None:
    disk = with_free_bytes_spoilt(gpt_disk, (Extent(0, 600 * MIB),), tmp_path / "disk.img")
    with disk.open("r+b") as write:
        write.seek(512 + 40)
        write.write(b"\xff")
    result = survey(disk)
    assert result.in_use == (Extent(0, 600 * MIB),)
    assert "checksum of the GPT header" in result.layout.partitions[0].why


def test_a_raid_member_with_a_table_is_cloned(gpt_disk: Path, tmp_path: Path) -> None:
    disk = with_free_bytes_spoilt(gpt_disk, (Extent(0, 600 * MIB),), tmp_path / "disk.img")
    with disk.open("r+b") as write:
        write.seek(600 * MIB - 1024)  # where Intel's firmware RAID keeps its record
        write.write(b"Intel Raid ISM Cfg Sig. 1.2.02".ljust(1024, b"\0"))
    result = survey(disk)
    assert (result.layout.table, result.in_use) == (TableType.NONE, (Extent(0, 600 * MIB),))
    assert "isw_raid_member" in result.layout.partitions[0].why


def test_every_sector_can_be_asked_for(gpt_disk: Path) -> None:
    result = survey(gpt_disk, SurveyOptions(full_sectors=True))
    assert result.in_use == (Extent(0, 600 * MIB - 33 * 512),)
    assert needed_size(result.layout, result.in_use) == 600 * MIB
    assert {p.taken for p in result.layout.partitions} == {Taken.EVERY}


@pytest.mark.parametrize(
    ("label", "kind"),
    [("dos", "42"), ("gpt", "AF9B60A0-1431-4F62-BC68-3311714A69AD")],
    ids=["mbr", "gpt"],
)
def test_a_dynamic_disk_is_taken_whole_with_its_database(tmp_path: Path, label: str, kind: str) -> None:
    """The NTFS at its start may be one piece of a volume over several disks."""
    script = f"label: {label}\nstart=1MiB, size=48MiB, type={kind}\n"
    disk = partitioned(tmp_path / "disk.img", script, 60 * MIB)
    copy_into(make(SAMPLES["ntfs"], tmp_path / "ntfs"), disk, MIB)
    result = survey(disk)
    (part,) = result.layout.partitions
    assert (part.fstype, part.taken) == ("ntfs", Taken.EVERY)
    assert "dynamic disk" in part.why
    assert intersect(result.in_use, [part.extent]) == (part.extent,)
    if label == "dos":
        database = Extent(59 * MIB, MIB)
        assert intersect(result.in_use, [database]) == (database,)


def test_boot_code_before_a_late_first_partition_is_kept_and_what_was_a_partition_is_not(
    tmp_path: Path,
) -> None:
    disk = partitioned(
        tmp_path / "disk.img", "label: dos\nstart=100MiB, size=16MiB, type=82\n", 120 * MIB
    )
    result = survey(disk)
    assert intersect(result.in_use, [Extent(0, 100 * MIB)]) == (Extent(0, 32 * MIB),)
