"""Deploy media by their tables alone: which of the two counts, and when neither does."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
from castcore.disk import new_table
from castcore.disk.gpt import MBR_TABLE
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.medium import medium_at, mounting, opening
from castcore.edge.medium.opening import partition_node
from castcore.errors import DiskFailed
from castcore.medium import DataFileSystem, MediumKind, least_size, plan_layout

SIZE = least_size(MediumKind.DEPLOY)
ID = "12345678-1234-4234-8234-123456789abc"
LINUX = 0x83


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    """A sparse file with the table of a deploy medium, and nothing in its partitions."""
    path = tmp_path / "medium.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
    partitions = plan_layout(SIZE, 512, MediumKind.DEPLOY).partitions([ID] * 4)
    with BlockFile.open_target(path) as disk:
        for write in new_table(partitions, size=SIZE, sector_size=512, uuid=ID):
            disk.write(write.offset, write.data)
    return path


def write(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def boot_record(kind: int) -> bytes:
    sector = bytearray(512)
    sector[510:] = b"\x55\xaa"
    struct.pack_into("<B3sB3sII", sector, MBR_TABLE, 0x80, bytes(3), kind, bytes(3), 2048, 4096)
    return bytes(sector)


def test_what_a_torn_write_leaves_is_still_a_medium(medium: Path) -> None:
    before = medium_at(medium)
    assert before is not None
    write(medium, 512, bytes(512))
    assert medium_at(medium) == before, "the first sector is ours"
    write(medium, 0, bytes(512))
    assert medium_at(medium) == before, "the first sector comes last"


@pytest.mark.parametrize("first", [boot_record(LINUX), b"\xeb" * 512])
def test_a_disk_that_was_divided_anew_is_none(medium: Path, first: bytes) -> None:
    """The backup table of the medium that it once was lies at its end."""
    write(medium, 0, first + bytes(512))
    assert medium_at(medium) is None


def test_a_disk_whose_table_is_read_anew_just_now_is_told_so(
    medium: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its partitions come and go in /sys while we look."""
    found = medium_at(medium)
    assert found is not None
    with pytest.raises(DiskFailed, match="partitions cannot be told"):
        partition_node(str(tmp_path / "gone"), found.parts.data)
    status = SimpleNamespace(st_mode=stat.S_IFBLK, st_rdev=os.makedev(8, 16))
    part = tmp_path / "8:16/sdb1"
    part.mkdir(parents=True)
    (part / "partition").write_text("1\n")
    monkeypatch.setattr(opening, "SYS", tmp_path)
    monkeypatch.setattr(
        opening, "os", SimpleNamespace(stat=lambda _: status, major=os.major, minor=os.minor)
    )
    with pytest.raises(DiskFailed, match="partitions cannot be told"):
        partition_node("/dev/sdb", found.parts.data)
    (part / "start").write_text("")
    (part / "size").write_text("1\n")
    with pytest.raises(DiskFailed, match="partitions cannot be told"):
        partition_node("/dev/sdb", found.parts.data)


def test_where_nothing_can_be_mounted_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(mounting, "FOLDER", tmp_path / "file/points")
    with (
        pytest.raises(DiskFailed, match="no medium can be mounted there"),
        mounting.mounted("/dev/null", DataFileSystem.EXT4, writable=False),
    ):
        pass
