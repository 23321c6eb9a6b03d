"""A deploy medium on a disk that the kernel takes away while a cast is read from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge.medium import open_medium
from castcore.units import MIB

from tests.support.deploymedia import bare_medium
from tests.support.images import make_image, noise
from tests.vm.guest import REPOSITORY, guest_root, our_python, run_in_guest

pytestmark = [pytest.mark.root, pytest.mark.vm, pytest.mark.full]

SECONDS = 300.0
MODULES = ("ahci", "sd_mod")
SIZE = 300 * MIB


def test_a_disk_pulled_in_the_middle_of_a_cast_ends_it_and_leaves_nothing_open(tmp_path: Path) -> None:
    raw = tmp_path / "source.raw"
    raw.write_bytes(noise(SIZE, 5))
    medium = tmp_path / "medium.img"
    bare_medium(medium, size=1600 * MIB)
    with open_medium(medium, writable=True) as opened:
        make_image(opened.images, "stick", raw, (Extent(0, SIZE),))
    debian = guest_root(REPOSITORY / "build/cache")
    command = our_python("tests.vm.mediapull")
    said = run_in_guest(debian, tmp_path, command, seconds=SECONDS, modules=MODULES, disks=[medium])
    (line,) = [line.strip() for line in said.splitlines() if line.startswith("CASE ")]
    print(line)
    seen = json.loads(line.removeprefix("CASE "))
    assert seen["failed after"] <= 2.0
    assert seen["message"] == f"medium Room 12 ({seen['where']}) was pulled out"
    assert seen["deploy"] == seen["message"]
    assert seen["state"] == "no medium"
    assert seen["reader"] in ("InUse", "DiskFailed", "BadImage")
    assert seen["open"] == []
    assert seen["reads"], "connected again, it is used"
    assert seen["mounted at the end"] == 0
