"""kill -9 at seeded random moments: nothing half is ever taken for whole, `--resume` ends equal.

The moments are spread over the time that the same work takes when nobody kills it.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.delta import compare
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restorerecord import RECORDS_VARIABLE
from castcore.edge.image.store import list_images
from castcore.edge.image.verify import verify_image
from castcore.errors import ExitCode
from castcore.units import MIB

from tests.support.figures import tell
from tests.support.images import blank, make_image, noise, write_at

pytestmark = pytest.mark.root

# So large that a restore takes longer than it takes to begin.
SIZE = 288 * MIB
PATIENCE = 60.0
# The two commands, so that they start at once; a line tells when the work begins, that is timed.
PROGRAM = """
import sys
from castcore.edge import commandline
from castcore.edge.image import restore as restoring
from castserver.commands import capture, restore
restoring.KEEP_SECONDS = 0.02
print("begin", flush=True)
sys.exit(commandline.main("fleetcast", "", [capture, restore]))
"""
RUNS = [pytest.param(8, id="8"), pytest.param(50, id="50", marks=pytest.mark.full)]


class Fleetcast:
    """One command under way."""

    def __init__(self, *argv: str | Path) -> None:
        command = [sys.executable, "-c", PROGRAM, *(str(a) for a in argv)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
        assert self._process.stdout
        assert self._process.stdout.readline() == "begin\n"
        self._begun = time.monotonic()

    def killed_after(self, seconds: float) -> bool:
        """Let it go on so long, then kill it; False: it had ended by then."""
        time.sleep(max(0.0, self._begun + seconds - time.monotonic()))
        alive = self._process.poll() is None
        self._process.kill()
        self._process.communicate()
        return alive

    def took(self) -> float:
        """Let it end well; how many seconds it took."""
        _, said = self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == ExitCode.OK, said
        return time.monotonic() - self._begun


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk of noise, text and zeros."""
    raw = blank(tmp_path_factory.mktemp("killed") / "disk.raw", SIZE)
    write_at(raw, 0, noise(120 * MIB, 11))
    write_at(raw, 150 * MIB, b"all work and no play\n" * (60 * MIB // 21))
    write_at(raw, 240 * MIB, noise(48 * MIB, 12))
    return raw


@pytest.fixture(autouse=True)
def own_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RECORDS_VARIABLE, str(tmp_path / "records"))


@pytest.mark.parametrize("runs", RUNS)
def test_no_half_image_is_taken_for_whole(source: Path, tmp_path: Path, runs: int) -> None:
    moments, killed = random.Random(1), 0
    command = ("capture", source, "cut", "--store", tmp_path / "store", "--replace", "--level", "9")
    whole = min(Fleetcast(*command).took() for _ in range(2))
    shutil.rmtree(tmp_path / "store")
    for _ in range(runs):
        killed += Fleetcast(*command).killed_after(moments.uniform(0, whole))
        for found in list_images(tmp_path / "store") if (tmp_path / "store").exists() else ():
            assert found.problem == ""
            with Image.open(found.path) as image:
                assert verify_image(image).chunks == SIZE // MIB
    tell(captures=runs, killed=killed)
    assert killed >= runs // 2
    Fleetcast(*command).took()
    assert [p.name for p in (tmp_path / "store").iterdir()] == ["cut.fcast"]


@pytest.mark.parametrize("runs", RUNS)
def test_no_half_disk_is_taken_for_whole_and_resume_ends_equal(
    source: Path, tmp_path: Path, runs: int
) -> None:
    path, target = make_image(tmp_path, "cut", source, (Extent(0, SIZE),)), tmp_path / "target.raw"
    moments, killed, resumed = random.Random(2), 0, 0
    start = ("restore", path, target, "--yes")
    whole = min(Fleetcast(*start[:2], old(target), "--yes").took() for _ in range(2))
    for run in range(runs):
        old(target)
        killed += Fleetcast(*start).killed_after(moments.uniform(0, whole))
        require_no_half(path, source, target)
        if run % 2 and list((tmp_path / "records").glob("*.json")):
            # Every other one is cut off again on its way, then goes to the end.
            Fleetcast(*start, "--resume").killed_after(moments.uniform(0, whole))
            require_no_half(path, source, target)
        if list((tmp_path / "records").glob("*.json")):
            resumed += 1
            Fleetcast(*start, "--resume").took()
            assert target.read_bytes() == source.read_bytes()
    tell(restores=runs, killed=killed, went_on_to_the_end=resumed)
    assert killed >= runs // 2
    assert resumed > 0


def old(target: Path) -> Path:
    """Make ``target`` a disk that holds something else, durably: a restore is not to wait for that."""
    with target.open("wb") as file:
        file.write(b"\xaa" * SIZE)
        file.flush()
        os.fsync(file.fileno())
    return target


def require_no_half(path: Path, source: Path, target: Path) -> None:
    """Fail if ``target`` has the image's head and not all of it, or its old head and other bytes."""
    got = target.read_bytes()
    if got[:MIB] == source.read_bytes()[:MIB]:
        with Image.open(path) as image, BlockFile.open_source(target) as disk:
            assert compare(image, [disk]).whole
    elif got[:MIB] == b"\xaa" * MIB:
        assert got == b"\xaa" * SIZE
