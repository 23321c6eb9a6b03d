"""Where a medium's parts lie, how it is recognised, and what its medium.json may say."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from castcore.disk import (
    Partition,
    new_table,
    parse_gpt,
    partitions_of,
    primary_from_backup,
    table_length,
)
from castcore.errors import BadImage, DoesNotFit
from castcore.medium import (
    BOOT_SLOT,
    DataFileSystem,
    Layout,
    MediumInfo,
    MediumKind,
    Role,
    least_size,
    medium_kind,
    parse_info,
    plan_layout,
    recognise,
)
from castcore.units import GIB, MIB

DISK = "0f0e0d0c-0b0a-0908-0706-050403020100"
UUIDS = [str(UUID(int=n)) for n in range(1, 5)]


def parts(layout: Layout, slot: int = 0) -> tuple[Partition, ...]:
    count = 4 if layout.kind is MediumKind.DEPLOY else 2
    return layout.partitions(UUIDS[:count], slot=slot)


def disk_of(layout: Layout, slot: int = 0, boot_code: bytes = b"") -> bytearray:
    """A disk as far as its first and last MiB go."""
    found = bytearray(2 * MIB)
    writes = new_table(
        parts(layout, slot),
        size=layout.disk_size,
        sector_size=layout.sector_size,
        uuid=DISK,
        boot_code=boot_code,
    )
    for write in writes:
        at = write.offset if write.offset < MIB else write.offset - layout.disk_size + 2 * MIB
        found[at : at + len(write.data)] = write.data
    return found


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize("size", [least_size(MediumKind.DEPLOY), 4 * GIB + 512 * 7, 2000 * GIB])
def test_a_deploy_medium_has_its_parts_in_order_and_none_overlaps(size: int, sector_size: int) -> None:
    layout = plan_layout(size // 4096 * 4096, sector_size, MediumKind.DEPLOY)
    for slot in (0, 1):
        found = parts(layout, slot)
        assert [p.name for p in found] == list(Role)
        starts = [p.start for p in found]
        assert starts == sorted(starts)
        assert all(p.start % MIB == 0 and p.length % MIB == 0 for p in found)
        ends = [p.extent.end for p in found]
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
        assert ends[-1] <= layout.disk_size - MIB
    one, other = layout.boot_slots
    assert one.end <= other.start
    assert layout.ledger is not None
    assert other.end <= layout.ledger.start


def test_a_client_medium_is_as_large_as_its_content() -> None:
    size = least_size(MediumKind.CLIENT, boot_size=80 * MIB + 1)
    layout = plan_layout(size, 512, MediumKind.CLIENT, boot_size=80 * MIB + 1)
    assert layout.boot_slots[0].length == 81 * MIB
    assert medium_kind(parts(layout)) is MediumKind.CLIENT
    assert recognise(parts(layout)) is None


def test_too_small_a_disk_and_too_large_a_boot_part_are_told_with_both_figures() -> None:
    with pytest.raises(DoesNotFit, match=r"at least .*there are 512.0 MiB"):
        plan_layout(512 * MIB, 512, MediumKind.DEPLOY)
    with pytest.raises(DoesNotFit, match="the boot part needs"):
        plan_layout(8 * GIB, 512, MediumKind.DEPLOY, boot_size=BOOT_SLOT + 1)


def test_windows_looks_for_exfat_under_its_own_type() -> None:
    layout = plan_layout(4 * GIB, 512, MediumKind.DEPLOY, filesystem=DataFileSystem.EXFAT)
    assert parts(layout)[3].type == "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_the_table_is_read_as_it_was_written_and_its_backup_too(sector_size: int) -> None:
    layout = plan_layout(4 * GIB, sector_size, MediumKind.DEPLOY)
    disk = disk_of(layout, 1, b"BOOT CODE")
    assert disk[:9] == b"BOOT CODE"
    assert disk[510:512] == b"\x55\xaa"
    primary = bytes(disk[: table_length(bytes(disk), sector_size)])
    table = parse_gpt(primary, sector_size)
    assert partitions_of(table, sector_size) == parts(layout, 1)
    twin = primary_from_backup(bytes(disk[MIB:]), sector_size)
    assert partitions_of(parse_gpt(twin, sector_size), sector_size) == parts(layout, 1)
    assert twin[sector_size:] == primary[sector_size:]


def test_a_disk_to_start_from_has_one_active_record_which_is_not_the_protective_one() -> None:
    layout = plan_layout(4 * GIB, 512, MediumKind.DEPLOY)
    started, data = disk_of(layout, boot_code=b"BOOT CODE"), disk_of(layout)
    assert [started[446 + 16 * n] for n in range(4)] == [0, 0x80, 0, 0]
    assert [started[446 + 16 * n + 4] for n in range(4)] == [0xEE, 0, 0, 0]
    assert not any(data[462:510])


def test_the_first_sector_is_written_last() -> None:
    layout = plan_layout(4 * GIB, 512, MediumKind.DEPLOY)
    writes = new_table(parts(layout), size=4 * GIB, sector_size=512, uuid=DISK)
    assert [w.offset for w in writes] == [4 * GIB - 33 * 512, 4 * GIB - 512, 1024, 512, 0]


@pytest.mark.parametrize("cut", [0, 511, 512, 4096, MIB - 600])
def test_a_damaged_backup_is_no_table(cut: int) -> None:
    end = bytearray(disk_of(plan_layout(4 * GIB, 512, MediumKind.DEPLOY))[MIB:])
    end[-512 + 20] ^= 1
    with pytest.raises(BadImage):
        primary_from_backup(bytes(end[cut:]), 512)


def test_a_deploy_medium_is_recognised_by_its_table_alone() -> None:
    found = parts(plan_layout(4 * GIB, 512, MediumKind.DEPLOY))
    known = recognise(found)
    assert known is not None
    assert (known.bios, known.boot, known.ledger, known.data) == found
    assert medium_kind(found) is MediumKind.DEPLOY
    with_another = (*found, replace(found[0], number=5, name="mine"))
    assert recognise(with_another) == known


@pytest.mark.parametrize("missing", range(4))
def test_a_part_that_is_missing_or_of_another_type_makes_it_none(missing: int) -> None:
    found = list(parts(plan_layout(4 * GIB, 512, MediumKind.DEPLOY)))
    assert recognise(found[:missing] + found[missing + 1 :]) is None
    twice = [*found, replace(found[missing], number=9)]
    assert recognise(twice) is None
    if missing < 3:
        found[missing] = replace(found[missing], type="0fc63daf-8483-4772-8e79-3d69d8477de4")
        assert recognise(found) is None


def test_medium_json_says_what_it_was_told() -> None:
    info = MediumInfo(DISK, "Room 12, 2026")
    assert parse_info(info.encode()) == info


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"7",
        b'{"format":1}',
        b'{"format":1,"id":7,"name":"x"}',
        b'{"format":1,"id":"no","name":"x"}',
        b'{"format":1,"id":"0F0E0D0C-0b0a-0908-0706-050403020100","name":"x"}',
        b'{"format":1,"id":"0f0e0d0c-0b0a-0908-0706-050403020100","name":"a\\nb"}',
        b'{"format":1,"id":"0f0e0d0c-0b0a-0908-0706-050403020100","name":""}',
        b'{"format":2,"id":"0f0e0d0c-0b0a-0908-0706-050403020100","name":"x"}',
        b"{" * 5000,
    ],
)
def test_a_damaged_medium_json_is_told(data: bytes) -> None:
    with pytest.raises(BadImage, match=r"medium\.json"):
        parse_info(data)
