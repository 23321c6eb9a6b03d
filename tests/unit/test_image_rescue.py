"""Disks with bad sectors: reads are tried again; a rescue has zeros there, and says where."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from castcore.disk import DiskLayout, Extent, Extents, TableType
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.capture import CaptureOptions, write_image
from castcore.edge.image.imagefile import Image
from castcore.edge.image.verify import verify_image
from castcore.errors import BadImage, DiskFailed
from castcore.image import ImageDisk, Manifest, encode_manifest, parse_manifest
from castcore.units import MIB

from tests.support.images import blank, noise, write_at

SIZE = 3 * MIB
IN_USE = (Extent(0, MIB + 8192), Extent(2 * MIB, MIB))


def fail_reads(monkeypatch: pytest.MonkeyPatch, bad: Extents, times: int = 1 << 30) -> None:
    """Let reads that touch ``bad`` fail, the first ``times`` at each place."""
    failed, read, read_into = Counter[int](), BlockFile.read, BlockFile.read_into

    def judge(disk: BlockFile, offset: int, length: int) -> None:
        for one in bad:
            touched = one.start < offset + length and offset < one.end
            if touched and failed[one.start] < times:
                failed[one.start] += 1
                raise DiskFailed(f"{disk.path}: cannot read at byte {max(offset, one.start)}")

    def failing(disk: BlockFile, offset: int, length: int) -> bytes:
        judge(disk, offset, length)
        return read(disk, offset, length)

    def failing_into(disk: BlockFile, offset: int, view: memoryview) -> None:
        judge(disk, offset, len(view))
        read_into(disk, offset, view)

    monkeypatch.setattr(BlockFile, "read", failing)
    monkeypatch.setattr(BlockFile, "read_into", failing_into)


def captured(folder: Path, *, rescue: bool, in_use: Extents = IN_USE) -> Path:
    raw = blank(folder / "bad.raw", SIZE)
    write_at(raw, 0, noise(SIZE, 3))
    plan = Manifest(
        name="bad",
        created=1,
        disks=(ImageDisk(DiskLayout(SIZE, 512, TableType.NONE), in_use),),
        index_digest=b"",
        chunk_count=0,
        packs=(),
    )
    image = folder / "bad.fcast"
    image.mkdir()
    write_image([raw], image, plan, CaptureOptions(rescue=rescue))
    return image


def test_what_reads_again_is_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_reads(monkeypatch, (Extent(MIB // 2, 512),), times=2)
    with Image.open(captured(tmp_path, rescue=False)) as image:
        assert image.content(0) == noise(SIZE, 3)[:MIB]
        assert image.manifest.disks[0].unreadable == ()


def test_a_bad_sector_ends_a_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_reads(monkeypatch, (Extent(MIB // 2 + 512, 512),))
    with pytest.raises(DiskFailed, match=f"cannot read at byte {MIB // 2 + 512}") as failed:
        captured(tmp_path, rescue=False)
    assert "--rescue" in failed.value.hint


def test_a_bad_sector_that_no_file_uses_ends_no_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use = (Extent(0, 8192), Extent(16384, MIB - 16384))
    fail_reads(monkeypatch, (Extent(8192 + 512, 512),))
    with Image.open(captured(tmp_path, rescue=False, in_use=in_use)) as image:
        content = noise(SIZE, 3)
        assert image.content(0) == content[:8192] + bytes(8192) + content[16384:MIB]
        assert image.manifest.disks[0].unreadable == ()
    (tmp_path / "again").mkdir()
    # Beside one that a file uses it does.
    fail_reads(monkeypatch, (Extent(MIB // 2, 512),))
    with pytest.raises(DiskFailed, match=f"cannot read at byte {MIB // 2}"):
        captured(tmp_path / "again", rescue=False, in_use=in_use)


def test_a_rescue_lists_what_it_could_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One sector, two neighbours over a page's edge, one that no file uses, one at the very end.
    bad = (
        Extent(512, 512),
        Extent(12 * 4096 - 512, 1024),
        Extent(MIB + 65536, 512),
        Extent(SIZE - 512, 512),
    )
    fail_reads(monkeypatch, bad)
    lost = (Extent(0, 4096), Extent(11 * 4096, 8192), Extent(SIZE - 4096, 4096))
    with Image.open(captured(tmp_path, rescue=True)) as image:
        assert image.manifest.disks[0].unreadable == lost
        verify_image(image)
        expected = bytearray(noise(SIZE, 3))
        for extent in lost:
            expected[extent.start : extent.end] = bytes(extent.length)
        assert image.content(0) == bytes(expected[:MIB])
        assert image.content(2) == bytes(expected[2 * MIB :])


def test_a_manifest_keeps_what_was_lost() -> None:
    disk = ImageDisk(DiskLayout(SIZE, 512, TableType.NONE), IN_USE, (Extent(4096, 512),))
    manifest = Manifest("bad", 1, (disk,), bytes(32), 3, ())
    data = encode_manifest(manifest)
    assert parse_manifest(data).disks == (disk,)
    damaged = data.replace(b'"unreadable":[4096,512]', b'"unreadable":[1572864,512]')
    assert damaged != data
    with pytest.raises(BadImage, match="unreadable bytes that are not in use"):
        parse_manifest(damaged)
