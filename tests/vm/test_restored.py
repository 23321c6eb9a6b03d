"""A restored disk equals its source: every extent in use, clean file system, tables at its own end.

Its system has no fallback loader (``\\EFI\\BOOT\\BOOTX64.EFI``): it boots because the client made
its boot entry.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from castcore.edge import run

from tests.vm import demo, sampledisk
from tests.vm.demo import BUILD
from tests.vm.firmware import Firmware
from tests.vm.lab import lab
from tests.vm.labserver import FLEETCAST
from tests.vm.machine import PC, powered
from tests.vm.sample import Sample, sample
from tests.vm.sampleroot import BOOTED
from tests.vm.watch import Watch

pytestmark = [pytest.mark.vm, pytest.mark.root]
FOLDER = BUILD / "test-restored"
LARGER = PC("pc9", 9, Firmware.UEFI_SECURE, disk_size=5 * 1024**3)
CAST_SECONDS = 600.0
BOOT_SECONDS = 300.0


@dataclass(frozen=True)
class Restored:
    """A disk as the client left it when it powered its PC off, and what it was cast from."""

    disk: Path
    source: Sample
    images: Path
    accel: str


@pytest.fixture(scope="module")
def restored() -> Iterator[Restored]:
    """One PC, cast to and powered off by its client before the restored system could write."""
    tree, images = FOLDER / "pxe", FOLDER / "images"
    # An earlier run's server would know this PC as cast well, and send it to its own disk.
    shutil.rmtree(FOLDER, ignore_errors=True)
    images.mkdir(parents=True)
    demo.build_tree(tree, BUILD / "cache")
    source = _without_fallback_loader(sample(BUILD / "cache", demo.say))
    demo.capture_sample(source, images)
    with lab(FOLDER, images=images, tree=tree, say=demo.say) as running:
        order = {"image": "sample", "start_clients": 1, "after": "power-off"}
        cast = running.server.post("/casts", order)
        watch = Watch(running, cast["cast"], cast["root"], demo.say)
        machine = running.power_on(LARGER)
        watch.add(machine)
        watch.wait(lambda: watch.pcs[0].proven, CAST_SECONDS, "the disk is written and proven")
        assert machine.wait_off(60), "the client did not power the PC off"
        yield Restored(machine.disk, source, images, running.accel)


def _without_fallback_loader(built: Sample) -> Sample:
    """A copy of the sample that a firmware without a boot entry for it does not boot."""
    disk = FOLDER / "source.raw"
    run.run(["cp", "--sparse=always", str(built.disk), str(disk)], timeout=300)
    esp = f"{disk}@@{sampledisk.ESP.offset}"
    for name, loader in (("BOOTX64.EFI", "shimx64.efi"), ("grubx64.efi", "grubx64.efi")):
        run.run(["mmove", "-i", esp, f"::EFI/BOOT/{name}", f"::EFI/debian/{loader}"], timeout=60)
    run.run(["mrd", "-i", esp, "::EFI/BOOT"], timeout=60)
    return replace(built, disk=disk)


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


def test_it_boots_on_its_own_without_the_fallback_loader(restored: Restored, tmp_path: Path) -> None:
    """The last test: the system writes to its disk. There is no network it could boot from."""
    shutil.copy(FOLDER / f"{LARGER.name}.vars.fd", tmp_path)
    alone = replace(LARGER, network_boot=False)
    with powered(alone, tmp_path, restored.disk, tap=None, accel=restored.accel) as machine:
        booted = machine.serial.wait(BOOTED, BOOT_SECONDS)
    assert booted is not None, machine.serial.tail()
    assert (booted["host"], booted["root"]) == (restored.source.host, restored.source.root_uuid)
    assert (booted["firmware"], booted["secureboot"]) == ("uefi", "yes")


def _cut(disk: Path, part: Path) -> None:
    """Copy the root partition of ``disk`` to the file ``part``, sparse."""
    size = f"count={sampledisk.ROOT.size}"
    flags = ["iflag=skip_bytes,count_bytes", "conv=sparse", "bs=1M", "status=none"]
    run.run(
        ["dd", f"if={disk}", f"of={part}", f"skip={sampledisk.ROOT.offset}", size, *flags], timeout=300
    )
