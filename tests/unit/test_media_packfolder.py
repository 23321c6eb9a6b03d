"""Replacing a driver pack: whoever ends in the middle leaves one, the old or the new."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from castcore.errors import DiskFailed, Refused
from castmedia import packfolder
from castmedia.driverpack import Pack, SecureBoot
from castmedia.modinfo import ModuleFacts
from castmedia.packfolder import Contents, load, packed, packs_in


def write(drivers: Path, content: bytes, *, replace: bool = True) -> None:
    module = drivers.with_name("r8125.ko")
    module.write_bytes(content)
    contents = Contents(((module, ModuleFacts("r8125", "6.12.1-amd64 SMP", "GPL")),), ())
    modules, firmware = packed(contents)
    pack = Pack("r8125", "6.12.1-amd64", "GPL", "r8125.ko", SecureBoot.OFF, modules, firmware)
    packfolder.write(drivers, pack, contents, replace=replace)


def module_in(drivers: Path) -> bytes:
    [found] = packs_in(drivers)
    return (found.folder / "modules/r8125.ko").read_bytes()


def test_a_replaced_pack_is_the_new_one_and_nothing_is_left(tmp_path: Path) -> None:
    drivers = tmp_path / "drivers"
    for content in (b"old", b"new"):
        write(drivers, content)
        assert module_in(drivers) == content
    assert [p.name for p in drivers.iterdir()] == ["r8125"]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_failing_rename_leaves_the_old_one(
    tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drivers = tmp_path / "drivers"
    write(drivers, b"old")
    real, calls = Path.rename, 0

    def rename(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise OSError(5, "Input/output error")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(DiskFailed):
            write(drivers, b"new")
    assert module_in(drivers) == b"old"
    write(drivers, b"new")
    assert module_in(drivers) == b"new"


def test_a_pack_is_not_gone_when_its_replacer_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed where the old one is removed: the new one is there; before: the next run mends it."""
    drivers = tmp_path / "drivers"
    write(drivers, b"old")
    there: list[bool] = []
    real = shutil.rmtree

    def rmtree(path: Path, *, ignore_errors: bool = False) -> None:
        there.append((drivers / "r8125").exists())
        real(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    write(drivers, b"new")
    assert there
    assert all(there)
    (drivers / "r8125").rename(drivers / f"{packfolder.OLD}r8125")
    with pytest.raises(Refused, match="there is a pack"):
        write(drivers, b"newer", replace=False)
    assert load(drivers / "r8125").pack.name == "r8125"
