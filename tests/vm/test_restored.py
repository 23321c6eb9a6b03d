"""A restored disk equals its source: every extent in use, clean file system, tables at its own end."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from castcore.edge import run

from tests.vm import demo, sampledisk
from tests.vm.demo import BUILD
from tests.vm.firmware import Firmware
from tests.vm.lab import lab
from tests.vm.labserver import FLEETCAST
from tests.vm.machine import PC
from tests.vm.sample import Sample, sample
from tests.vm.watch import Watch

pytestmark = [pytest.mark.vm, pytest.mark.root]
FOLDER = BUILD / "test-restored"
LARGER = PC("pc9", 9, Firmware.UEFI_SECURE, disk_size=5 * 1024**3)
CAST_SECONDS = 600.0


@dataclass(frozen=True)
class Restored:
    """A disk as the client left it when it powered its PC off, and what it was cast from."""

    disk: Path
    source: Sample
    images: Path


@pytest.fixture(scope="module")
def restored() -> Iterator[Restored]:
    """One PC, cast to and powered off by its client before the restored system could write."""
    tree, images = FOLDER / "pxe", FOLDER / "images"
    # An earlier run's server would know this PC as cast well, and send it to its own disk.
    shutil.rmtree(FOLDER, ignore_errors=True)
    images.mkdir(parents=True)
    demo.build_tree(tree, BUILD / "cache")
    source = sample(BUILD / "cache", demo.say)
    demo.capture_sample(source, images)
    with lab(FOLDER, images=images, tree=tree, say=demo.say) as running:
        order = {"image": "sample", "start_clients": 1, "after": "power-off"}
        cast = running.server.post("/casts", order)
        watch = Watch(running, cast["cast"], cast["root"], demo.say)
        machine = running.power_on(LARGER)
        watch.add(machine)
        watch.wait(lambda: watch.pcs[0].proven, CAST_SECONDS, "the disk is written and proven")
        assert machine.wait_off(60), "the client did not power the PC off"
        yield Restored(machine.disk, source, images)


def test_every_extent_in_use_is_identical(restored: Restored) -> None:
    command = [*FLEETCAST, "verify", "sample", "--store", str(restored.images)]
    run.run([*command, "--against", str(restored.disk)], timeout=300)


def test_a_changed_byte_would_have_been_seen(restored: Restored) -> None:
    offset = sampledisk.ROOT.offset + 1024  # the ext4 superblock
    with restored.disk.open("r+b") as disk:
        disk.seek(offset)
        before = disk.read(1)
        disk.seek(offset)
        disk.write(bytes([before[0] ^ 1]))
    try:
        command = [*FLEETCAST, "verify", "sample", "--store", str(restored.images)]
        with pytest.raises(run.ProgramFailed):
            run.run([*command, "--against", str(restored.disk)], timeout=300)
    finally:
        with restored.disk.open("r+b") as disk:
            disk.seek(offset)
            disk.write(before)


def test_the_root_file_system_is_clean(restored: Restored, tmp_path: Path) -> None:
    root = tmp_path / "root.ext4"
    _cut(restored.disk, root)
    run.run(["e2fsck", "-fn", str(root)], timeout=300)


def test_files_are_those_of_the_source(restored: Restored, tmp_path: Path) -> None:
    digests = []
    for disk in (restored.disk, restored.source.disk):
        root = tmp_path / f"{disk.name}.ext4"
        _cut(disk, root)
        kernel = run.run(["debugfs", "-R", "cat /usr/bin/perl", str(root)], timeout=60)
        assert len(kernel) > 1_000_000
        digests.append(hashlib.sha256(kernel).digest())
    assert digests[0] == digests[1]


def test_the_backup_table_is_at_the_real_end(restored: Restored) -> None:
    said = run.run(["sgdisk", "--verify", str(restored.disk)], timeout=60).decode()
    assert "No problems found" in said
    with restored.disk.open("rb") as disk:
        disk.seek(LARGER.disk_size - sampledisk.SECTOR)
        assert disk.read(8) == b"EFI PART"


def _cut(disk: Path, part: Path) -> None:
    """Copy the root partition of ``disk`` to the file ``part``, sparse."""
    size = f"count={sampledisk.ROOT.size}"
    flags = ["iflag=skip_bytes,count_bytes", "conv=sparse", "bs=1M", "status=none"]
    run.run(
        ["dd", f"if={disk}", f"of={part}", f"skip={sampledisk.ROOT.offset}", size, *flags], timeout=300
    )
