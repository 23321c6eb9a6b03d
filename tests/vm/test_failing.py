"""Failing disks in a virtual PC: rescue of a source; what is left of a target that fails half way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from castcore.errors import ExitCode
from castcore.units import MIB

from tests.vm.guest import REPOSITORY, guest_root, our_python, run_in_guest

pytestmark = [pytest.mark.root, pytest.mark.vm, pytest.mark.full]

SECONDS = 300.0
MODULES = ("sd_mod", "dm-thin-pool", "scsi_debug dev_size_mb=40 add_host=3 per_host_store=1 delay=0")


def test_failing_disks_are_rescued_or_refused_with_the_offset(tmp_path: Path) -> None:
    debian = guest_root(REPOSITORY / "build/cache")
    command = our_python("tests.vm.failing")
    said = run_in_guest(debian, tmp_path, command, seconds=SECONDS, modules=MODULES)
    (line,) = [line.strip() for line in said.splitlines() if line.startswith("CASE ")]
    seen = json.loads(line.removeprefix("CASE "))
    rescue = seen["rescue"]
    assert rescue["plain"], "a capture without --rescue ends and names the byte"
    assert rescue["hint"]
    assert not rescue["image"]
    assert rescue["tries"] >= 3, "each page is tried three times"
    assert rescue["told"]
    assert rescue["listed"]
    assert rescue["same"], "all but the lost page came back"
    for kind, words in (("eio", "Input/output error"), ("enospc", "No space left on device")):
        failed = seen[kind]
        assert failed["code"] == ExitCode.IO, failed
        assert words in failed["why"], failed
        assert 16 * MIB <= failed["at"] < failed["size"], failed
        assert failed["zeroed"], failed
