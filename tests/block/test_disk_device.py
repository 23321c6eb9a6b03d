"""Reading, writing and holding real devices and files; the relocated GPT as sgdisk sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from castcore.disk import TableType, relocated_backup, table_length
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.probe import disk, disks
from castcore.edge.run import ProgramFailed, run
from castcore.errors import DiskFailed, InUse, NoSpace, NotFound, Refused

from tests.block.diskimages import MIB, SECONDS, loop

pytestmark = pytest.mark.root

GPT = b"label: gpt\nsize=4MiB, type=U, name=one\nsize=8MiB\nsize=3MiB\n"


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as out:
        out.truncate(size)
    return path


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize("new_size", [64 * MIB, 100 * MIB + 4096, 5000 * MIB, 20 * MIB])
def test_sgdisk_finds_no_fault_in_a_relocated_table(
    sector_size: int, new_size: int, tmp_path: Path
) -> None:
    with loop(sparse(tmp_path / "source", 64 * MIB), sector_size=sector_size) as device:
        run(["sfdisk", "-q", device], timeout=SECONDS, data=GPT)
        with BlockFile.open_source(device) as source:
            assert source.sector_size == sector_size
            primary = source.read(0, table_length(source.read(0, 8192), sector_size))
    with loop(sparse(tmp_path / "target", new_size), sector_size=sector_size) as device:
        with BlockFile.open_target(device) as target:
            target.write(0, primary)
            for write in relocated_backup(primary, sector_size, target.size):
                target.write(write.offset, write.data)
            target.flush()
        verdict = run(["sgdisk", "--verify", device], timeout=SECONDS).decode()
        assert "No problems found" in verdict
        assert "Caution" not in verdict
        layout = disk(device).layout
    assert layout is not None
    assert layout.table is TableType.GPT
    assert [p.length for p in layout.partitions] == [4 * MIB, 8 * MIB, 3 * MIB]


@pytest.fixture(params=["file", "device"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    path = sparse(tmp_path / "disk.img", 16 * MIB)
    if request.param == "file":
        yield str(path)
        return
    with loop(path) as device:
        yield device


def test_what_was_written_is_read_again_from_the_medium(target: str) -> None:
    data = os.urandom(3 * MIB + 5)
    with BlockFile.open_target(target) as disk_file:
        disk_file.write(MIB - 3, data)
        disk_file.zero(2 * MIB + 1, MIB)
        disk_file.drop_cache()
        disk_file.drop_cache(MIB, 100)
        expected = data[: MIB + 4] + bytes(MIB) + data[2 * MIB + 4 :]
        assert disk_file.read(MIB - 3, len(data)) == expected
        disk_file.zero(0, disk_file.size)
        assert disk_file.read(0, disk_file.size) == bytes(16 * MIB)


def test_a_dropped_cache_shows_what_is_really_below(tmp_path: Path) -> None:
    path = sparse(tmp_path / "disk.img", 4 * MIB)
    with loop(path) as device, BlockFile.open_target(device) as opened:
        for part in ((0, 0), (0, MIB), (512, 1)):
            opened.write(0, b"a" * MIB)
            opened.flush()
            with path.open("r+b") as below:
                below.write(b"b" * MIB)
                os.fsync(below.fileno())
            assert opened.read(512, 1) == b"a", "the device's cache hides the change below"
            opened.drop_cache(*part)
            assert opened.read(512, 1) == b"b", part


def test_threads_do_not_disturb_each_other(target: str) -> None:
    with BlockFile.open_target(target) as disk_file, ThreadPoolExecutor(4) as pool:
        pieces = [(i * 65536, bytes([i]) * 65536) for i in range(1, 200)]
        list(pool.map(lambda piece: disk_file.write(*piece), pieces))
        read = list(pool.map(lambda piece: disk_file.read(piece[0], 65536), pieces))
    assert read == [data for _, data in pieces]


def test_nothing_goes_past_the_end(target: str) -> None:
    with BlockFile.open_target(target) as disk_file:
        with pytest.raises(DiskFailed, match="reach past its end"):
            disk_file.write(16 * MIB - 1, b"ab")
        with pytest.raises(DiskFailed, match="reach past its end"):
            disk_file.zero(16 * MIB, 1)
        with pytest.raises(DiskFailed, match=f"ends at byte {16 * MIB}: 7 bytes missing"):
            disk_file.read(16 * MIB - 5, 12)
        assert disk_file.size == 16 * MIB


def test_a_held_target_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    path = sparse(tmp_path / "disk.img", 16 * MIB)
    run(["mkfs.ext4", "-q", "-F", str(path)], timeout=SECONDS)
    before = path.read_bytes()
    point = tmp_path / "point"
    point.mkdir()
    with loop(path) as device:
        with pytest.raises(InUse, match=f"attached to {device}"):
            BlockFile.open_target(path)
        with BlockFile.open_target(device), pytest.raises(InUse, match="another program"):
            BlockFile.open_target(device)
        run(["mount", "-o", "ro,noload", device, str(point)], timeout=SECONDS)
        try:
            for held in (device, path):
                with pytest.raises(InUse, match=f"mounted at {point}"):
                    BlockFile.open_target(held)
            assert disk(device).held_by == f"mounted at {point}"
        finally:
            run(["umount", str(point)], timeout=SECONDS)
    with BlockFile.open_target(path), pytest.raises(InUse, match="another program"):
        BlockFile.open_target(path)
    assert path.read_bytes() == before


def test_a_disk_used_as_swap_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "swap.img"
    path.write_bytes(bytes(16 * MIB))
    path.chmod(0o600)
    run(["mkswap", "-q", str(path)], timeout=SECONDS)
    with loop(path) as device:
        try:
            run(["swapon", device], timeout=SECONDS)
        except ProgramFailed as error:
            pytest.skip(f"swap is not to be had here: {error.stderr}")
        try:
            with pytest.raises(InUse, match="used as swap"):
                BlockFile.open_target(device)
        finally:
            run(["swapoff", device], timeout=SECONDS)


def test_what_is_no_disk_is_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, Path("/dev/null")):
        with pytest.raises(NotFound, match=str(path)):
            BlockFile.open_source(path)
        with pytest.raises(NotFound, match=str(path)):
            BlockFile.open_target(path)


def test_a_write_protected_device_is_refused(tmp_path: Path) -> None:
    with loop(sparse(tmp_path / "disk.img", MIB), read_only=True) as device:
        assert disk(device).read_only
        with pytest.raises(Refused, match="write-protected"):
            BlockFile.open_target(device)


def test_a_full_file_system_is_no_space(tmp_path: Path) -> None:
    point = tmp_path / "small"
    point.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(point)], timeout=SECONDS)
    try:
        path = sparse(point / "disk.img", 4 * MIB)
        with BlockFile.open_target(path) as opened, pytest.raises(NoSpace, match="cannot write at byte"):
            opened.write(0, b"x" * (4 * MIB))
    finally:
        run(["umount", str(point)], timeout=SECONDS)


def test_a_failing_medium_is_named_with_its_offset(tmp_path: Path) -> None:
    path = sparse(tmp_path / "disk.img", 8 * MIB)
    with loop(path) as device, BlockFile.open_source(device) as opened:
        with path.open("r+b") as file:
            file.truncate(4 * MIB)  # the loop device now fails behind this point with EIO
        with pytest.raises(DiskFailed, match=f"{device}: cannot read at byte {5 * MIB}"):
            opened.read(5 * MIB, 4096)


def test_probing_knows_files_and_survives_odd_ones(tmp_path: Path) -> None:
    odd = {
        "empty": b"",
        "tiny": b"x",
        "garbage": os.urandom(2 * MIB),
        "gpt": b"\0" * 512 + b"EFI PART" + b"\xff" * 9000,
        "mbr": b"\xff" * 510 + b"\x55\xaa" + b"\xff" * 5000,
        "loop": bytes(446)
        + (b"\x00\0\0\0\x05\0\0\0\x01\0\0\0\x20\0\0\0" * 4)
        + b"\x55\xaa"
        + bytes(MIB),
    }
    for name, content in odd.items():
        path = tmp_path / name
        path.write_bytes(content)
        os.utime(path, ns=(1, 1))
        facts = disk(path)
        assert (path.read_bytes(), path.stat().st_mtime_ns) == (content, 1)
        assert (facts.size, facts.bus, facts.held_by) == (len(content), "file", "")
        assert facts.layout is not None
        assert facts.layout.table is TableType.NONE
        assert [p.number for p in facts.layout.partitions] in ([], [0])


def test_this_machines_disks_are_probed_without_touching_them() -> None:
    found = disks()
    assert [f.path for f in found] == sorted(f.path for f in found)
    assert all(f.size > 0 and f.sector_size >= 512 and f.stable_id for f in found)
    root = os.stat("/").st_dev
    node = Path(f"/sys/dev/block/{os.major(root)}:{os.minor(root)}")
    names = {node.resolve().name, node.resolve().parent.name}
    roots = [f.held_by for f in found if Path(f.path).name in names]
    if not roots:
        pytest.skip("this machine's root file system is on no disk of its own")
    assert roots[0].startswith("mounted at /")
