"""What of a firmware RAID stays assembled: each volume is judged by what the kernel says of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from castcore.disk.arrays import Container, Volume
from castcore.edge import run
from castcore.edge.disk import raid
from castcore.edge.disk.blockdev import BlockFile

VOLUMES = (Volume("first", "0:0:0:1"), Volume("second", "0:0:0:2"))
BOTH = Container("0:0:0:0", "ddf", ("/dev/sda", "/dev/sdb"), VOLUMES)


class Kernel:
    """/sys/block as mdadm changes it: the last member brings up a container with both volumes."""

    def __init__(self, sys: Path, degraded: set[str], writable: set[str]) -> None:
        self._sys, self._degraded, self._writable = sys, degraded, writable
        self._uuids: dict[str, str] = {}

    @property
    def arrays(self) -> list[str]:
        return sorted(path.name for path in self._sys.iterdir())

    def run(self, command: list[str], **_: Any) -> bytes:
        match command[1:]:
            case ["--detail", "--export", node]:
                return f"MD_UUID={self._uuids[Path(node).name]}\n".encode()
            case ["--incremental", "/dev/sdb", *_]:
                self._start()
            case ["--stop", node, *_]:
                self._stop(Path(node).name)
            case ["--readonly", node, *_] if Path(node).name in self._writable:
                raise run.ProgramFailed("it is in use")
        return b""

    def _start(self) -> None:
        self._array("md127", "external:ddf")
        for member in BOTH.members:
            (self._sys / "md127/slaves" / Path(member).name).mkdir(parents=True)
        for name, volume in zip(("md126", "md125"), VOLUMES, strict=True):
            self._array(name, "external:/md127/0")
            (self._sys / name / "ro").write_text("0" if name in self._writable else "1")
            (self._sys / name / "md/degraded").write_text("1" if name in self._degraded else "0")
            self._uuids[name] = volume.uuid

    def _array(self, name: str, version: str) -> None:
        (self._sys / name / "md").mkdir(parents=True)
        (self._sys / name / "md/metadata_version").write_text(version)

    def _stop(self, name: str) -> None:
        if name == "md127" and len(self.arrays) > 1:
            raise run.ProgramFailed("it is in use")
        shutil.rmtree(self._sys / name)


@pytest.mark.parametrize(
    ("degraded", "writable", "left"),
    [
        (set(), set(), ["md125", "md126", "md127"]),
        ({"md126"}, set(), ["md125", "md127"]),
        ({"md125"}, set(), ["md126", "md127"]),
        (set(), {"md125"}, ["md126", "md127"]),
        ({"md125", "md126"}, set(), []),
        ({"md126"}, {"md125"}, []),
    ],
)
def test_no_volume_stays_that_is_degraded_or_writable(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    degraded: set[str],
    writable: set[str],
    left: list[str],
) -> None:
    kernel = Kernel(tmp_path, degraded, writable)
    monkeypatch.setattr(raid, "SYS", tmp_path)
    monkeypatch.setattr(raid, "examined", lambda _: (BOTH,))
    monkeypatch.setattr(run, "run", kernel.run)
    said: list[str] = []
    raid.assemble(BOTH.members, said.append)
    assert kernel.arrays == left
    assert len(said) == len(VOLUMES)
    for name, text in zip(("md126", "md125"), said, strict=True):
        assert ("not assembled: it " in text) == (name not in left), text
        assert (f"/dev/{name} (DDF" in text) == (name in left), text


def test_a_file_that_is_called_like_an_array_makes_none_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sys").mkdir()
    kernel = Kernel(tmp_path / "sys", set(), set())
    monkeypatch.setattr(raid, "SYS", tmp_path / "sys")
    monkeypatch.setattr(run, "run", kernel.run)
    kernel.run(["mdadm", "--incremental", "/dev/sdb"])
    made: list[list[str]] = []

    def noting(command: list[str], **_: Any) -> bytes:
        made.append(command)
        return b""

    monkeypatch.setattr(run, "run", noting)
    monkeypatch.setattr("castcore.edge.disk.raid.time.sleep", lambda _: None)
    (tmp_path / "md126").write_bytes(bytes(4096))
    with BlockFile.open_target(tmp_path / "md126") as target:
        target.write(0, b"x")
    assert made == []
