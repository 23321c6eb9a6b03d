"""A PC whose disks are a firmware RAID boots from the network: the cast goes to the array."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from castcore.edge.image.capture import capture
from castcore.edge.run import run
from castcore.units import MIB

from tests.support.images import blank, noise, write_at
from tests.vm import demo
from tests.vm.demo import BUILD
from tests.vm.firmware import Firmware
from tests.vm.guest import guest_root, our_python, run_in_guest
from tests.vm.lab import lab
from tests.vm.machine import PC, sata_files
from tests.vm.watch import Watch

pytestmark = [pytest.mark.vm, pytest.mark.root, pytest.mark.full]

FOLDER = BUILD / "test-castarray"
DISK_SIZE = 128 * MIB  # DDF keeps 32 MiB of it
IMAGE_SIZE = 40 * MIB
MODULES = ("raid1", "ahci", "sd_mod")
GUEST_SECONDS = 200.0
CAST_SECONDS = 400.0
MACHINE = PC("pc7", 7, Firmware.BIOS, sata_disks=2)


def in_guest(folder: Path, files: list[Path], *words: str) -> dict[str, Any]:
    folder.mkdir()
    command = our_python("tests.vm.castarray", *words)
    debian = guest_root(BUILD / "cache")
    said = run_in_guest(debian, folder, command, seconds=GUEST_SECONDS, modules=MODULES, disks=files)
    (line,) = [line.strip() for line in said.splitlines() if line.startswith("CASE ")]
    value: dict[str, Any] = json.loads(line.removeprefix("CASE "))
    return value


def source(path: Path) -> Path:
    """A disk with a partition, noise here and there."""
    blank(path, IMAGE_SIZE)
    run(["sfdisk", "-q", str(path)], timeout=60, data=b"label: gpt\nstart=2048, type=L\n")
    for at in (MIB, 7 * MIB, 20 * MIB + 4096):
        write_at(path, at, noise(3 * MIB, at % 251))
    return path


@pytest.mark.parametrize("metadata", ["imsm", "ddf"])
def test_a_cast_to_an_array_is_a_cast_to_one_disk(tmp_path: Path, metadata: str) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    tree, images = FOLDER / "pxe", FOLDER / "images"
    images.mkdir(parents=True)
    # Firmware RAID is nothing that virtual PCs have: its tools are in the profile of real machines.
    demo.build_tree(tree, BUILD / "cache", "full")
    image = images / "small.fcast"
    capture(source(tmp_path / "source.raw"), image)
    files = sata_files(FOLDER / "pc7.disk", MACHINE.sata_disks)
    for file in files:
        blank(file, DISK_SIZE)
    uuid = in_guest(tmp_path / "make", files, "make", metadata)["uuid"]
    with lab(FOLDER, images=images, tree=tree, say=demo.say) as running:
        order = {"image": "small", "start_clients": 1, "after": "power-off"}
        cast = running.server.post("/casts", order)
        watch = Watch(running, cast["cast"], cast["root"], demo.say)
        machine = running.power_on(MACHINE, disk=files[0])
        watch.add(machine)
        watch.wait(lambda: watch.pcs[0].proven, CAST_SECONDS, "the array is written and proven")
        (client,) = running.server.get("/clients")
        assert machine.wait_off(60), "the client did not power the PC off"
    disks = {disk["stable_id"]: disk for disk in client["disks"]}
    array = disks.pop(f"raid-{uuid}")
    assert array["model"] == "Volume0 RAID1"
    assert len(disks) == 2
    found = in_guest(tmp_path / "prove", files, "prove", uuid, str(image))
    assert found == {"code": 0, "in_sync": True}
