"""A disk that is gone in the middle of the work is a DiskFailed with its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from castcore.edge.disk.blockdev import BlockFile
from castcore.errors import DiskFailed
from castcore.units import MIB

Work = Callable[[BlockFile], object]

WORK: dict[str, Work] = {
    "read": lambda disk: disk.read(0, 512),
    "read into": lambda disk: disk.read_into(0, memoryview(bytearray(512))),
    "write": lambda disk: disk.write(0, bytes(512)),
    "zero": lambda disk: disk.zero(0, 512),
    "discard": lambda disk: disk.discard(0, 512),
    "flush": lambda disk: disk.flush(),
    "drop the cache": lambda disk: disk.drop_cache(),
}


@pytest.mark.parametrize("device", [False, True], ids=["file", "device"])
@pytest.mark.parametrize("name", list(WORK))
def test_every_call_names_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, device: bool
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(MIB))
    disk = BlockFile.open_target(path)
    if name == "drop the cache":  # it went after what is flushed first
        monkeypatch.setattr(BlockFile, "flush", lambda _: None)
    monkeypatch.setattr(disk, "_is_device", device)
    os.close(disk._fd)
    try:
        with pytest.raises(DiskFailed, match=r"disk\.raw: cannot"):
            WORK[name](disk)
    finally:
        disk._fd = -1
