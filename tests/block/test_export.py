"""Images going elsewhere: files that other programs read, and disks served to them over NBD."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from castcore.disk import Extent, subtract
from castcore.edge import commandline
from castcore.edge.image.imagefile import Image
from castcore.edge.run import find, run
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, image

from tests.block.diskimages import digests_fat, digests_mounted, loop
from tests.block.disks import EFI, ROOT, SIZE, SIZES, extract, require_clean, system_disk
from tests.support.images import blank, flip

pytestmark = pytest.mark.root

COMMANDS = [capture, image]
SECONDS = 120.0


def fleetcast(*argv: str | Path) -> ExitCode:
    return ExitCode(commandline.main("fleetcast", "", COMMANDS, [str(a) for a in argv]))


def tool(*command: str | Path) -> str:
    return run([str(c) for c in command], timeout=SECONDS).decode(errors="replace")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return system_disk(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def captured(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "system.fcast"
    assert fleetcast("capture", source, path) is ExitCode.OK
    return path


@pytest.fixture(scope="module")
def expected(captured: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source with zeros where the image holds nothing; but its backup table is there."""
    path = tmp_path_factory.mktemp("expected") / "disk.raw"
    data = bytearray(source.read_bytes())
    with Image.open(captured) as opened:
        in_use = opened.manifest.disks[0].in_use
    for hole in subtract([Extent(0, SIZE - 33 * 512)], in_use):
        data[hole.start : hole.end] = bytes(hole.length)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_an_exported_disk_is_the_source_with_zeros_where_nothing_is_in_use(
    captured: Path, expected: Path, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / f"disk.{kind}"
    assert fleetcast("image", "export", captured, file, "--format", kind) is ExitCode.OK
    assert [p.name for p in tmp_path.iterdir()] == [file.name]
    assert "identical" in tool("qemu-img", "compare", "-f", kind, "-F", "raw", file, expected)
    assert file.stat().st_blocks * 512 < 32 * MIB
    # And back: the same disk makes the same image.
    back = tmp_path / "back.fcast"
    assert fleetcast("image", "import", file, back) is ExitCode.OK
    with Image.open(captured) as one, Image.open(back) as other:
        assert other.manifest.index_digest == one.manifest.index_digest
        assert other.manifest.source.format == kind
    raw = file
    if kind == "qcow2":
        assert "No errors" in tool("qemu-img", "check", file)
        raw = tmp_path / "again.raw"
        tool("qemu-img", "convert", "-O", "raw", file, raw)
    require_clean(raw, tmp_path)


def test_an_existing_file_stays_unless_it_is_to_be_replaced(captured: Path, tmp_path: Path) -> None:
    file = tmp_path / "disk.raw"
    file.write_bytes(b"mine")
    assert fleetcast("image", "export", captured, file) is ExitCode.REFUSED
    assert file.read_bytes() == b"mine"
    assert fleetcast("image", "export", captured, file, "--replace") is ExitCode.OK
    assert file.stat().st_size == SIZE
    assert fleetcast("image", "export", captured, "/dev/null", "--replace") is ExitCode.REFUSED
    assert fleetcast("image", "export", captured, tmp_path / "no/disk.raw") is ExitCode.NOT_FOUND


def test_what_is_no_image_of_anything_is_no_import(tmp_path: Path) -> None:
    store, packed = tmp_path / "store", tmp_path / "disk.raw.gz"
    packed.write_bytes(gzip.compress(bytes(MIB)))
    (tmp_path / "folder").mkdir()
    for source, code in (
        (packed, ExitCode.REFUSED),  # not taken for a raw disk
        (tmp_path / "folder", ExitCode.REFUSED),
        (tmp_path / "none", ExitCode.NOT_FOUND),
        ("/dev/null", ExitCode.REFUSED),
    ):
        assert fleetcast("image", "import", source, "no", "--store", store) is code
    with loop(blank(tmp_path / "loop.raw", MIB)) as device:
        assert fleetcast("image", "import", device, "no", "--store", store) is ExitCode.REFUSED
    assert not store.exists() or list(store.iterdir()) == []


def test_a_damaged_image_leaves_no_file(captured: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.fcast"
    tool("cp", "-a", captured, bad)
    flip(bad / "pack-0000", 1000)
    out = tmp_path / "out"
    out.mkdir()
    assert fleetcast("image", "export", bad, out / "disk.raw") is ExitCode.BAD_IMAGE
    assert list(out.iterdir()) == []


@contextmanager
def served(captured: Path, where: str) -> Iterator[str]:
    """The URI of the image served; ended as by Ctrl-C, which must end it well."""
    # Where the tests run in the background of a script SIGINT is ignored, and that would be inherited.
    fresh = ["env", "--default-signal=INT", sys.executable, "-m", "castserver"]
    command = [*fresh, "image", "nbd", str(captured), "--json", *where.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["uri"]
        finally:
            process.send_signal(signal.SIGINT)
            last = process.stdout.read().splitlines()[-1]
            assert process.wait(timeout=10) == 0
    assert json.loads(last)["event"] == "result"


def require(*programs: str) -> None:
    missing = [p for p in programs if find(p) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.mark.parametrize("where", ["--port 0", "--unix SOCKET"])
def test_qemu_reads_a_served_image(captured: Path, expected: Path, tmp_path: Path, where: str) -> None:
    with served(captured, where.replace("SOCKET", str(tmp_path / "nbd.sock"))) as uri:
        assert "identical" in tool("qemu-img", "compare", "-f", "raw", "-F", "raw", uri, expected)
        # Holes are told, not read: the map has data for less than half of the disk.
        told = json.loads(tool("qemu-img", "map", "--output=json", "-f", "raw", uri))
        assert sum(run_["length"] for run_ in told) == SIZE
        assert sum(run_["length"] for run_ in told if run_["data"]) < 32 * MIB
        tool("qemu-io", "-r", "-f", "raw", "-c", "read 1234567 89012", uri)
        failed = subprocess.run(
            ["qemu-io", "-f", "raw", "-c", "write 0 512", uri],
            capture_output=True,
            text=True,
            check=False,
        )
        assert failed.returncode != 0
        assert "Permission denied" in failed.stderr
    assert not (tmp_path / "nbd.sock").exists()


def test_libnbd_reads_a_served_image(captured: Path, expected: Path, tmp_path: Path) -> None:
    require("nbdinfo", "nbdcopy")
    with served(captured, "--port 0") as uri:
        info = json.loads(tool("nbdinfo", "--json", uri))["exports"][0]
        assert (info["export-size"], info["is_read_only"]) == (SIZE, True)
        assert "base:allocation" in info["contexts"]
        # Four connections at once, then one without structured replies.
        for number, options in enumerate((["--connections=4"], ["--no-extents", "--synchronous"])):
            copy = tmp_path / f"copy-{number}.raw"
            tool("nbdcopy", *options, uri, copy)
            assert copy.read_bytes() == expected.read_bytes()


def test_files_are_taken_out_of_a_served_image_with_a_mount(
    captured: Path, source: Path, tmp_path: Path
) -> None:
    require("nbdfuse", "fusermount3")
    point = tmp_path / "disk"
    point.mkdir()
    with served(captured, f"--unix {tmp_path / 'nbd.sock'}") as uri:
        fuse = subprocess.Popen(["nbdfuse", "-r", str(point), uri])
        try:
            deadline = time.monotonic() + 20
            while not os.path.ismount(point):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            disk = point / "nbd"
            assert disk.stat().st_size == SIZE
            part = extract(disk, ROOT, SIZES[ROOT], tmp_path / "root.part")
            efi = extract(disk, EFI, SIZES[EFI], tmp_path / "efi.part")
            mnt = tmp_path / "mnt"
            mnt.mkdir()
            options = f"loop,ro,noload,offset={ROOT},sizelimit={SIZES[ROOT]}"
            tool("mount", "-o", options, disk, mnt)
            names = sorted(p.name for p in mnt.iterdir() if p.is_file())
            zeros = (mnt / "zeros").read_bytes()
            tool("umount", mnt)
        finally:
            tool("fusermount3", "-u", point)
            fuse.wait(timeout=10)
    assert names == ["random", "text", "zeros"]
    assert zeros == bytes(3_000_000)
    mine = extract(source, ROOT, SIZES[ROOT], tmp_path / "source.part")
    assert digests_mounted(part) == digests_mounted(mine)
    assert digests_fat(efi) == digests_fat(extract(source, EFI, SIZES[EFI], tmp_path / "source.efi"))
