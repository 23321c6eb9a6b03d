"""A capture that does not end leaves nothing behind: a full disk, Ctrl-C, kill -9."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge.image.store import list_images
from castcore.errors import ExitCode
from castcore.units import MIB

from tests.block.disks import tool
from tests.support.images import blank, make_image, noise, write_at

pytestmark = pytest.mark.root

SIZE = 64 * MIB
PATIENCE = 60.0
PARTIAL = ".cut.fcast.partial-*"
# `fleetcast` with this one command, so that it starts at once.
PROGRAM = """
import sys
from castcore.edge import commandline
from castserver.commands import capture
sys.exit(commandline.main("fleetcast", "", [capture]))
"""


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = blank(tmp_path_factory.mktemp("noisy") / "disk.raw", SIZE)
    write_at(raw, 0, noise(SIZE, 7))
    return raw


def start(*argv: str | Path) -> subprocess.Popen[str]:
    # Where the tests run in the background of a script SIGINT is ignored, and that would be inherited.
    fresh = ["env", "--default-signal=INT"]
    command = [*fresh, sys.executable, "-c", PROGRAM, *(str(a) for a in argv)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def capture_under_way(source: Path, store: Path) -> subprocess.Popen[str]:
    """A slow capture that has written part of a pack."""
    stale = set(store.glob(PARTIAL))
    process = start("capture", source, "cut", "--store", store, "--level", "19", "--replace")
    deadline = time.monotonic() + PATIENCE
    while not any(written(p) for p in set(store.glob(PARTIAL)) - stale):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the capture wrote nothing"
        time.sleep(0.02)
    return process


def written(partial: Path) -> bool:
    pack = partial / "pack-0000"
    return pack.exists() and pack.stat().st_size > 0


@pytest.fixture
def small_store(tmp_path: Path) -> Iterator[Path]:
    store = tmp_path / "small"
    store.mkdir()
    tool("mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", store)
    yield store
    tool("umount", store)


def test_disk_full_leaves_no_half_image(noisy: Path, small_store: Path) -> None:
    process = start("capture", noisy, "big", "--store", small_store)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.NO_SPACE
    assert "is full: " in said
    assert "free of 20.0 MiB" in said
    assert list(small_store.iterdir()) == []


def test_disk_full_keeps_the_image_to_be_replaced(
    noisy: Path, small_store: Path, tmp_path: Path
) -> None:
    old = make_image(small_store, "big", blank(tmp_path / "tiny.raw", 4096), (Extent(0, 4096),))
    manifest = (old / "manifest.json").read_bytes()
    process = start("capture", noisy, "big", "--store", small_store, "--replace")
    process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.NO_SPACE
    assert [p.name for p in small_store.iterdir()] == ["big.fcast"]
    assert (old / "manifest.json").read_bytes() == manifest


def test_converting_a_virtual_disk_needs_space_too(
    noisy: Path, small_store: Path, tmp_path: Path
) -> None:
    tool("qemu-img", "convert", "-O", "qcow2", noisy, tmp_path / "disk.qcow2")
    process = start("capture", tmp_path / "disk.qcow2", "big", "--store", small_store)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.NO_SPACE, said
    assert list(small_store.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_capture_cleans_up(noisy: Path, tmp_path: Path, how: signal.Signals) -> None:
    process = capture_under_way(noisy, tmp_path)
    process.send_signal(how)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.INTERRUPTED, said
    assert list(tmp_path.iterdir()) == []


def test_a_killed_capture_leaves_nothing_that_is_taken_for_an_image(noisy: Path, tmp_path: Path) -> None:
    process = capture_under_way(noisy, tmp_path)
    process.kill()
    process.communicate()
    assert list_images(tmp_path) == ()
    assert len(list(tmp_path.iterdir())) == 1

    other = capture_under_way(noisy, tmp_path)  # the next capture removes it...
    other.send_signal(signal.SIGSTOP)
    assert len(list(tmp_path.iterdir())) == 1
    again = start("capture", noisy, "third", "--store", tmp_path)  # ...but not a living one's
    again.communicate(timeout=PATIENCE)
    assert again.returncode == ExitCode.OK
    assert len(list(tmp_path.glob(PARTIAL))) == 1
    other.send_signal(signal.SIGINT)
    other.send_signal(signal.SIGCONT)
    other.communicate(timeout=PATIENCE)
    assert [i.name for i in list_images(tmp_path)] == ["third"]
    assert [p.name for p in tmp_path.iterdir()] == ["third.fcast"]
