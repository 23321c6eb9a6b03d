"""Firmware RAID in a virtual PC: an array is one disk; nothing is written to it before a restore."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vm.guest import REPOSITORY, guest_root, our_python, run_in_guest

pytestmark = [pytest.mark.root, pytest.mark.vm]

SECONDS = 300.0
MODULES = (
    *("raid0", "raid1", "sd_mod"),
    "scsi_debug dev_size_mb=40 add_host=3 per_host_store=1 delay=0",
)


@pytest.mark.parametrize(
    ("metadata", "level"),
    [
        pytest.param("imsm", "1", marks=pytest.mark.full),
        pytest.param("imsm", "0", marks=pytest.mark.full),
        pytest.param("ddf", "1", marks=pytest.mark.full),
    ],
)
def test_an_array_is_captured_and_restored_as_one_disk(
    tmp_path: Path, metadata: str, level: str
) -> None:
    debian = guest_root(REPOSITORY / "build/cache")
    command = our_python("tests.vm.arrays", metadata, level)
    said = run_in_guest(debian, tmp_path, command, seconds=SECONDS, modules=MODULES)
    (line,) = [line.strip() for line in said.splitlines() if line.startswith("CASE ")]
    seen = json.loads(line.removeprefix("CASE "))
    if level != "0":
        assert seen["dirty"], "the array was left in the middle of a write: there is what to synchronise"
        assert seen["clean"]
    assert seen["untouched"], "neither assembling, capturing nor planning wrote to a member"
    assert seen["changed"]
    assert seen["same"]
    assert seen.get("mirrored", True)
    assert seen["arrays"] == []
    assert any("Volume0: not assembled: 1 of its 2 members are here" in text for text in seen["lonely"])
