"""Deploy media in files and behind loop devices: found, opened, and not a byte changed by that."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.medium import find_media, medium_at, mounting, open_medium
from castcore.errors import BadImage, DiskFailed, InUse, NotFound
from castcore.medium import DataFileSystem
from castcore.units import MIB

from tests.block.diskimages import loop
from tests.support.deploymedia import LEAST, bare_medium

pytestmark = pytest.mark.root


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


@pytest.fixture(autouse=True)
def points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where media are mounted here: other tests run beside these."""
    monkeypatch.setattr(mounting, "FOLDER", tmp_path / "points")
    return tmp_path / "points"


def nothing_left(points: Path) -> bool:
    return not list(points.iterdir())


@pytest.fixture(params=list(DataFileSystem))
def medium(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "medium.img"
    bare_medium(path, filesystem=request.param)
    return path


def test_a_medium_is_opened_without_changing_a_byte(medium: Path, points: Path) -> None:
    before = digest(medium)
    with open_medium(medium) as opened:
        assert opened.info.name == "Room 12"
        assert opened.found.id == opened.info.id
        assert opened.serial == opened.info.id
        assert opened.ledger == (str(medium), 1026 * MIB, MIB)
        assert opened.images.is_dir()
        with pytest.raises(OSError, match=r"[Rr]ead-only"):
            (opened.root / "x").write_text("x")
        with pytest.raises(InUse):
            BlockFile.open_target(medium)
    assert digest(medium) == before
    assert nothing_left(points)


def test_what_was_written_is_there_when_it_is_opened_again(medium: Path) -> None:
    with open_medium(medium, writable=True) as opened:
        (opened.licences / "a.lic").write_text("licence")
    with open_medium(medium) as opened:
        assert (opened.licences / "a.lic").read_text() == "licence"


def test_a_loop_device_is_opened_as_the_file_is(medium: Path) -> None:
    with loop(medium) as device:
        found = medium_at(device)
        assert found is not None
        assert found.id in found.serial
        with open_medium(device) as opened:
            assert opened.ledger.path == device
            assert opened.images.is_dir()


def test_the_backup_table_counts_when_the_primary_is_torn(medium: Path) -> None:
    before = medium_at(medium)
    with medium.open("r+b") as file:
        file.seek(1024)
        file.write(b"torn")
    assert medium_at(medium) == before
    assert before is not None
    with open_medium(medium) as opened:
        assert opened.found == before


def test_what_is_no_deploy_medium_is_none(tmp_path: Path) -> None:
    for content in (b"", bytes(100), bytes(4 * MIB)):
        (tmp_path / "x").write_bytes(content)
        assert medium_at(tmp_path / "x") is None
        with pytest.raises(NotFound, match="no deploy medium"), open_medium(tmp_path / "x"):
            pass
    with pytest.raises(NotFound):
        medium_at(tmp_path / "missing")


def test_damage_is_told_and_nothing_stays_mounted(medium: Path, points: Path) -> None:
    with open_medium(medium, writable=True) as opened:
        (opened.root / "medium.json").write_text("{}")
    with pytest.raises(BadImage, match=r"medium\.json"), open_medium(medium):
        pass
    found = medium_at(medium)
    assert found is not None
    with medium.open("r+b") as file:
        file.seek(found.parts.data.start)
        file.write(bytes(2 * MIB))
    with pytest.raises(DiskFailed, match="its data partition holds"), open_medium(medium):
        pass
    assert nothing_left(points)


def test_a_failing_block_leaves_nothing_mounted(medium: Path, points: Path) -> None:
    with pytest.raises(RuntimeError), open_medium(medium):
        raise RuntimeError
    assert nothing_left(points)


def test_what_a_killed_process_left_is_unmounted_by_the_next(tmp_path: Path, points: Path) -> None:
    path = tmp_path / "medium.img"
    bare_medium(path, size=LEAST)
    left = points / "left"
    left.mkdir(parents=True)
    (points / "left.lock").touch()
    with open_medium(path):
        assert not left.exists()


def test_this_machine_is_looked_through() -> None:
    assert all(medium.parts.ledger.length for medium in find_media())
