"""Writing sticks that are loop devices: proven, or nothing boots; read-only, full, lying, pulled out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from castcore.disk import new_table
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.medium.finding import read_partitions
from castcore.edge.run import run
from castcore.errors import DiskFailed, DoesNotFit, FleetcastError, InUse, NotFound, Refused
from castcore.medium import MediumKind, least_size, medium_kind, plan_layout
from castcore.units import MIB
from castmedia import stick

from tests.block.diskimages import SECONDS, loop
from tests.support.images import blank, noise

pytestmark = pytest.mark.root
CONTENT = 6 * MIB
SIZE = least_size(MediumKind.CLIENT, boot_size=CONTENT)
UUIDS = ["00000000-0000-4000-8000-00000000000" + digit for digit in "123"]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The image of a client medium, its boot part being noise."""
    path = blank(tmp_path / "image", SIZE)
    layout = plan_layout(SIZE, 512, MediumKind.CLIENT, boot_size=CONTENT)
    table = new_table(
        layout.partitions(UUIDS[:2]), size=SIZE, sector_size=512, uuid=UUIDS[2], boot_code=b"\xeb" * 440
    )
    with BlockFile.open_target(path) as disk:
        disk.write(MIB, noise(CONTENT + MIB, 1))
        for write in table:
            disk.write(write.offset, write.data)
    return path


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """A used stick, larger than the image."""
    path = tmp_path / "stick"
    path.write_bytes(noise(2 * SIZE, 2))
    with loop(path) as found:
        yield found


def write(image: Path, name: str) -> None:
    facts = stick.chosen_stick(name, image.stat().st_size)
    with stick.held(facts) as disk:
        stick.write_image(image, disk)


def kind_on(device: str) -> MediumKind | None:
    with BlockFile.open_source(device) as disk:
        disk.drop_cache()
        return medium_kind(read_partitions(disk)[1])


def starts(device: str) -> bool:
    """Whether a firmware would look at it: there is a first sector."""
    with BlockFile.open_source(device) as disk:
        disk.drop_cache()
        return disk.read(0, 512) != bytes(512)


def test_the_stick_is_the_image_with_its_backup_table_at_its_own_end(image: Path, device: str) -> None:
    write(image, device)
    assert "No problems found" in run(["sgdisk", "-v", device], timeout=SECONDS).decode()
    with BlockFile.open_source(device) as disk, BlockFile.open_source(image) as source:
        assert disk.read(MIB, SIZE - 2 * MIB) == source.read(MIB, SIZE - 2 * MIB)
        assert disk.read(0, 440) == source.read(0, 440)


def test_a_stick_of_just_the_images_size_too(image: Path, tmp_path: Path) -> None:
    for spare in (0, 512, 8 * 512):
        with loop(blank(tmp_path / f"stick-{spare}", SIZE + spare)) as device:
            write(image, device)
            assert "No problems found" in run(["sgdisk", "-v", device], timeout=SECONDS).decode()


def test_too_small_read_only_in_use_and_missing_are_refused_untouched(
    image: Path, device: str, tmp_path: Path
) -> None:
    with loop(blank(tmp_path / "small", SIZE - 512)) as small, pytest.raises(DoesNotFit):
        write(image, small)
    run(["blockdev", "--setro", device], timeout=SECONDS)
    with pytest.raises(Refused, match="write-protected"):
        write(image, device)
    run(["blockdev", "--setrw", device], timeout=SECONDS)
    with stick.held(stick.chosen_stick(device, 0)), pytest.raises(InUse):
        write(image, device)
    with pytest.raises(NotFound):
        write(image, "serial:NO-SUCH-STICK")
    assert kind_on(device) is None
    assert starts(device)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_stick_pulled_out_is_told_and_starts_nothing(
    image: Path, device: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From some write on every one fails, as the kernel's do of a device that is gone."""
    calls = 0
    real = BlockFile._write_some

    def pulled(self: BlockFile, offset: int, data: memoryview) -> int:
        nonlocal calls
        calls += 1
        if calls > 1 + share * 8:
            raise OSError(5, "Input/output error")
        return real(self, offset, data)

    monkeypatch.setattr(BlockFile, "_write_some", pulled)
    with pytest.raises(DiskFailed, match=r"cannot write at byte .*Input/output error"):
        write(image, device)
    monkeypatch.undo()
    assert kind_on(device) is None
    assert not starts(device)
    write(image, device)
    assert kind_on(device) is MediumKind.CLIENT


def test_a_medium_that_takes_no_more_is_told_and_starts_nothing(image: Path, tmp_path: Path) -> None:
    """A loop device whose file system is full: the kernel says what it says of a failing disk."""
    folder = tmp_path / "full"
    folder.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={SIZE // 2}", "tmpfs", str(folder)], timeout=SECONDS)
    try:
        with loop(blank(folder / "stick", SIZE)) as device:
            with pytest.raises(FleetcastError, match=r"/dev/loop.* cannot (write|flush)"):
                write(image, device)
            assert kind_on(device) is None
            assert not starts(device)
    finally:
        run(["umount", str(folder)], timeout=SECONDS)


def test_a_stick_that_keeps_less_than_it_says_is_found_out(
    image: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BlockFile.write

    def forgetful(self: BlockFile, offset: int, data: bytes | memoryview) -> None:
        real(self, offset, bytes(len(data)) if offset == 5 * MIB else data)

    monkeypatch.setattr(BlockFile, "write", forgetful)
    with pytest.raises(DiskFailed, match=rf"does not read at byte {5 * MIB} as it was written"):
        write(image, device)
    assert kind_on(device) is None
    assert not starts(device)


def test_another_stick_in_its_place_is_not_written(image: Path, device: str, tmp_path: Path) -> None:
    facts = stick.chosen_stick(device, SIZE)
    with (
        loop(blank(tmp_path / "other", 3 * SIZE)) as other,
        pytest.raises(Refused, match="another disk"),
        stick.held(replace(facts, path=other)),
    ):
        pass
    with pytest.raises(NotFound), stick.held(replace(facts, path="/dev/no-such-stick")):
        pass


def test_another_stick_of_the_same_kind_in_its_place_is_not_written(device: str, tmp_path: Path) -> None:
    """Neither has a number: their path and size are the same."""
    other = tmp_path / "other"
    other.write_bytes(noise(2 * SIZE, 3))
    facts = stick.chosen_stick(device, SIZE)
    with stick.held(facts):
        pass
    run(["losetup", "--detach", device], timeout=SECONDS)
    run(["losetup", device, str(other)], timeout=SECONDS)
    with pytest.raises(Refused, match="another disk"), stick.held(facts):
        pass
    with stick.held(stick.chosen_stick(device, SIZE)):
        pass
