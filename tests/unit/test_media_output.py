"""A result file is there whole, or as it was before."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from castcore.edge import run
from castcore.errors import DiskFailed, MissingProgram, NoSpace, NotFound, Refused
from castmedia import mirror
from castmedia.bootpart import FAT_PROGRAMS
from castmedia.clientmedia import Format, format_of
from castmedia.isoimage import PROGRAMS
from castmedia.output import check_file, require_room, whole_file
from castmedia.stages import check_host


def half_made(target: Path, error: BaseException) -> None:
    with whole_file(target) as partial:
        partial.write_text("half")
        raise error


def test_a_file_that_ended_well_has_its_name(tmp_path: Path) -> None:
    target = tmp_path / "m.iso"
    target.write_text("old")
    with whole_file(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["m.iso"]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, NoSpace), (errno.EIO, DiskFailed), (errno.EDQUOT, NoSpace)]
)
def test_a_failure_leaves_what_was_there(tmp_path: Path, number: int, kind: type[Exception]) -> None:
    target = tmp_path / "m.iso"
    target.write_text("old")
    with pytest.raises(kind):
        half_made(target, OSError(number, os.strerror(number)))
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.iso"]


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        half_made(tmp_path / "m.iso", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_build_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".m.iso.partial").write_text("left over")
    with whole_file(tmp_path / "m.iso") as partial:
        assert not partial.exists()
        partial.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["m.iso"]


def test_devices_and_folders_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no regular file"):
        check_file(Path("/dev/null"))
    with pytest.raises(Refused, match="a folder"):
        check_file(tmp_path)
    with pytest.raises(NotFound, match="no folder"):
        check_file(tmp_path / "none/m.iso")
    check_file(tmp_path / "m.iso")


def test_more_than_there_is_room_for(tmp_path: Path) -> None:
    with pytest.raises(NoSpace, match="free"):
        require_room(tmp_path / "m.iso", 1 << 60)


def test_every_missing_program_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"chroot", "tar", "dpkg-deb"}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(run, "find", lambda program: program if program in there else None)
    monkeypatch.setattr(mirror, "KEYRING", Path("/none"))
    with pytest.raises(MissingProgram) as error:
        check_host((*FAT_PROGRAMS, *PROGRAMS))
    missing = "mmdebstrap, apt-get, modinfo, mkfs.fat, mcopy, mmd, xorriso, debian-archive-keyring"
    assert error.value.what == f"not installed: {missing}"


def test_whoever_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Refused, match="needs root"):
        check_host()


def test_what_a_name_asks_for() -> None:
    assert format_of(Path("a.iso")) is Format.ISO
    assert format_of(Path("a.IMG")) is Format.USB
    with pytest.raises(Refused, match="does not say"):
        format_of(Path("a.bin"))
