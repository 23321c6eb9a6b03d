"""LUKS containers, with and without LVM inside, captured by what is in use of them (`--unlock`).

In a virtual PC, for the device mapper.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from castcore.units import MIB

from tests.vm.guest import REPOSITORY, guest_root, our_python, run_in_guest

pytestmark = [pytest.mark.root, pytest.mark.vm, pytest.mark.full]

SECONDS = 900.0


def test_an_encrypted_disk_comes_back_from_what_is_in_use_inside(tmp_path: Path) -> None:
    debian = guest_root(REPOSITORY / "build/cache")
    said = run_in_guest(debian, tmp_path, our_python("tests.vm.encrypted"), seconds=SECONDS)
    lines = [line.strip() for line in said.splitlines()]
    cases = [json.loads(line.removeprefix("CASE ")) for line in lines if line.startswith("CASE ")]
    assert [case["name"] for case in cases] == ["luks2", "luks1", "luks2-lvm"]
    for case in cases:
        assert case["same"], case
        assert case["whole"] > 70 * MIB, case
        # Headers and key slots (2 or 16 MiB) and the file system's own tables.
        assert case["used"] < 40 * MIB, case
        assert case["taken"] == "used-extents", case
        assert "crypto_LUKS, unlocked: " in case["why"], case
    assert "root used-extents" in cases[2]["why"]
