"""The local dialogue with a real medium, real disks' files and a real ledger, driven as by a person."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import pytest
from castcore.edge import run
from castcore.edge.medium import open_medium
from castcore.units import GIB, MIB

from tests.block.disks import SIZE, require_clean, system_disk
from tests.support.images import blank, flip
from tests.support.localmedium import add_licence, balances, image_names, medium_with_ledger
from tests.support.localtalk import Talk, local_client

pytestmark = pytest.mark.root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    tools = ["sfdisk", "mkfs.vfat", "mcopy", "mkfs.ext4", "mkswap", "partclone.ext4"]
    run.require(tools, hint="tools/packages.txt lists the packages of the tests")
    return system_disk(tmp_path)


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    return medium_with_ledger(tmp_path / "medium.img")


def captured(medium: Path, source: Path, name: str = "office") -> None:
    """Have the disk captured to the medium."""
    with local_client(medium, [source]) as talk:
        talk.answer("home", "capture")
        talk.answer("sources", "1")
        talk.answer("name", name)
        talk.answer("capture", "yes")
        talk.wait(rf"local=done .*captured as {name}")
        assert talk.hang_up() == 0


def whole(medium: Path) -> bytes:
    """The digest of every byte of the medium."""
    with medium.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def restored(talk: Talk, name: str, target: Path) -> None:
    talk.answer("home", "restore")
    talk.answer("images", name)
    talk.answer("targets", f"file-{target.resolve()}")
    talk.answer("erase", "yes")


def test_a_disk_goes_to_the_medium_and_comes_back_on_another(
    medium: Path, source: Path, tmp_path: Path
) -> None:
    captured(medium, source)
    assert image_names(medium) == ["office.fcast"]
    target = blank(tmp_path / "target.raw", SIZE + 8 * MIB)
    before = whole(medium)
    with local_client(medium, [target]) as talk:
        restored(talk, "office", target)
        for step in ("check", "restore", "verify"):
            talk.wait(rf"local=working .*step={step}")
        talk.wait(r"local=done .*office: .* written, read back and proven")
        assert talk.hang_up() == 0
    assert whole(medium) == before, "a restore changes nothing on a medium without licences"
    require_clean(target, tmp_path)


def test_a_licence_is_used_up_by_a_restore_that_went_well_and_by_no_other(
    medium: Path, source: Path, tmp_path: Path
) -> None:
    captured(medium, source)
    captured(medium, source, "home")
    add_licence(medium, "office*", 1)
    target = blank(tmp_path / "target.raw", SIZE)
    with open_medium(medium, writable=True) as opened:
        pack = opened.images / "home.fcast" / "pack-00000"
        flip(pack if pack.exists() else next(pack.parent.glob("pack*")), 5000)
    with local_client(medium, [target]) as talk:
        # Damaged and not covered: refused before anything is read.
        restored(talk, "home", target)
        talk.wait(r"local=failed .*no licence of the medium is for image home")
        talk.answer("failed", "menu")
        restored(talk, "office", target)
        talk.wait(r"local=done .*read back and proven")
        talk.answer("done", "menu")
        talk.wait(r"licence for office\*: 0 left")
        restored(talk, "office", target)
        talk.wait(r"local=failed .*no licence for image office is left: 1 consumed")
        assert talk.hang_up() == 0
    assert [(one.consumed, one.reserved) for one in balances(medium)] == [(1, 0)]


def test_a_damaged_image_is_found_before_the_disk_is_touched_and_gives_its_licence_back(
    medium: Path, source: Path, tmp_path: Path
) -> None:
    captured(medium, source)
    add_licence(medium, "*", 5)
    target = tmp_path / "target.raw"
    target.write_bytes(b"\xaa" * SIZE)
    with open_medium(medium, writable=True) as opened:
        flip(next((opened.images / "office.fcast").glob("pack*")), 5000)
    with local_client(medium, [target]) as talk:
        restored(talk, "office", target)
        talk.wait(r"local=failed .*damaged")
        assert talk.hang_up() == 0
    assert target.read_bytes() == b"\xaa" * SIZE
    assert [(one.consumed, one.reserved) for one in balances(medium)] == [(0, 0)]


def test_a_medium_that_runs_full_holds_no_half_image(tmp_path: Path, medium: Path) -> None:
    # Random bytes without a table are taken whole, and do not compress.
    source = tmp_path / "noise.raw"
    source.write_bytes(os.urandom(80 * MIB))
    with local_client(medium, [source]) as talk:
        talk.answer("home", "capture")
        talk.answer("sources", "1")
        talk.answer("name", "large")
        talk.wait("WARNING: .* are free on the medium")
        talk.type("yes\r")
        talk.wait(r"local=failed .*is full")
        talk.answer("failed", "menu")
        talk.wait(r"local=home")
        assert talk.hang_up() == 0
    assert image_names(medium) == []


def test_no_key_stops_a_restore(medium: Path, source: Path, tmp_path: Path) -> None:
    captured(medium, source)
    target = blank(tmp_path / "target.raw", SIZE)
    with local_client(medium, [target]) as talk:
        restored(talk, "office", target)
        talk.wait(r"local=working")
        talk.type("\x03\x1b\x1a\x1c\x13back\rno\roff\r")
        talk.wait(r"local=done .*read back and proven")
        assert talk.hang_up() == 0
    require_clean(target, tmp_path)


def test_a_disk_that_was_exchanged_since_the_plan_is_not_written(
    medium: Path, source: Path, tmp_path: Path
) -> None:
    captured(medium, source)
    target = blank(tmp_path / "target.raw", SIZE)
    with local_client(medium, [target]) as talk:
        talk.answer("home", "restore")
        talk.answer("images", "office")
        talk.answer("targets", "1")
        talk.wait(r"local=erase (?:.*\n)*?.* > ")
        target.write_bytes(b"\xbb" * (SIZE + MIB))
        talk.type("yes\r")
        talk.wait(r"local=failed .*not what was shown")
        assert talk.hang_up() == 0
    assert target.read_bytes() == b"\xbb" * (SIZE + MIB)


def test_a_medium_that_is_none_is_told_and_a_look_finds_it_later(tmp_path: Path) -> None:
    path = blank(tmp_path / "medium.img", GIB // 8)
    target = blank(tmp_path / "target.raw", SIZE)
    with local_client(path, [target]) as talk:
        talk.wait(r"local=home(?:.*\n)*.*is no deploy medium")
        medium_with_ledger(path)
        talk.type("look\r")
        talk.wait(r"local=home(?:.*\n)*.*Room 12")
        assert talk.hang_up() == 0


def test_a_client_that_is_killed_leaves_no_half_image(medium: Path, source: Path) -> None:
    with local_client(medium, [source]) as talk:
        talk.answer("home", "capture")
        talk.answer("sources", "1")
        talk.answer("name", "killed")
        talk.answer("capture", "yes")
        talk.wait(r"local=working .*step=capture")
        talk.process.send_signal(signal.SIGKILL)
        talk.process.wait(30)
    names = image_names(medium)
    assert [name for name in names if not name.startswith(".")] in ([], ["killed.fcast"])
    captured(medium, source, "again")
    assert "again.fcast" in image_names(medium)
    assert not [name for name in image_names(medium) if "partial" in name]
