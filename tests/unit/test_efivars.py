"""Boot entries read from and written to a made-up efivarfs."""

from __future__ import annotations

from pathlib import Path

from castcore.disk.bootplan import BootPlan
from castcore.disk.devicepath import FilePath, HardDrive, Signature
from castcore.disk.loadoption import LoadOption, encode_load_option
from castcore.edge import efivars

GUID = "0fc63daf-8483-4772-8e79-3d69d8477de4"
OPTION = LoadOption("debian", (HardDrive(1, 1, 1, Signature.GPT, GUID), FilePath("\\a")))


def put(folder: Path, name: str, value: bytes) -> None:
    (folder / f"{name}-{efivars.GLOBAL}").write_bytes(b"\7\0\0\0" + value)


def test_entries_and_their_order_are_read(tmp_path: Path) -> None:
    put(tmp_path, "Boot000A", encode_load_option(OPTION))
    put(tmp_path, "Boot0001", b"rubbish")
    put(tmp_path, "BootOrder", b"\x0a\0\x01\0\x05")
    put(tmp_path, "BootOptionSupport", bytes(4))
    (tmp_path / "Boot0002-00000000-93ca-11d2-aa0d-00e098032b8c").write_bytes(bytes(8))
    now = efivars.boot_variables(tmp_path)
    assert (now.order, now.next, set(now.options)) == ((10, 1), None, {1, 10})
    assert now.options[10] == OPTION
    assert now.options[1].path == ()


def test_a_plan_is_carried_out(tmp_path: Path) -> None:
    put(tmp_path, "Boot0003", b"gone")
    put(tmp_path, "BootOrder", b"\3\0")
    now = efivars.boot_variables(tmp_path)
    efivars.apply(BootPlan(((0, OPTION),), (3,), (0,), 0), now, tmp_path)
    after = efivars.boot_variables(tmp_path)
    assert (after.options, after.order, after.next) == ({0: OPTION}, (0,), 0)


def test_nothing_is_written_that_is_right_already(tmp_path: Path) -> None:
    put(tmp_path, "BootOrder", b"\3\0")
    now = efivars.boot_variables(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    efivars.apply(BootPlan((), (), (3,), None), now, tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before


def test_a_bios_has_none(tmp_path: Path) -> None:
    assert not efivars.available(tmp_path / "efivars")
    assert efivars.value("BootOrder", tmp_path) is None
