"""Several disks in one image: captured together, restored and proven each on its own target."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pytest
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.capture import capture
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.errors import ExitCode, Refused
from castcore.units import MIB

from tests.block.disks import SIZE, require_clean, system_disk, tool
from tests.block.test_image_commands import fleetcast
from tests.support.images import blank, noise, write_at

pytestmark = pytest.mark.root


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, Path]:
    """A system disk, and a data disk as a virtual PC keeps it, with one block of the system's."""
    raw = blank(tmp_path / "data.raw", 16 * MIB)
    write_at(raw, 3 * MIB, noise(5 * MIB, 8))
    data = tmp_path / "data.qcow2"
    tool("qemu-img", "convert", "-O", "qcow2", raw, data)
    return system_disk(tmp_path), data


def test_each_disk_comes_back_on_its_own_target(machine: tuple[Path, Path], tmp_path: Path) -> None:
    system, data = machine
    store = tmp_path / "store"
    assert fleetcast("capture", system, data, "both", "--store", store) is ExitCode.OK
    assert sorted(p.name for p in (store / "both.fcast").iterdir()) == [
        "index",
        "manifest.json",
        "pack-0000",
        "stored-digests",
    ]
    with Image.open(store / "both.fcast") as image:
        assert [d.layout.size for d in image.manifest.disks] == [SIZE, 16 * MIB]
        assert image.manifest.source.format == "raw, qcow2"
        targets = [blank(tmp_path / "a.raw", SIZE), blank(tmp_path / "b.raw", 16 * MIB)]
        with BlockFile.open_target(targets[0]) as a, BlockFile.open_target(targets[1]) as b:
            assert restore(image, [a, b], verify=True).verified
    require_clean(targets[0], tmp_path)
    assert filecmp.cmp(targets[1], tmp_path / "data.raw", shallow=False)
    against: list[str | Path] = ["--against", targets[0], "--against", targets[1], "--store", store]
    assert fleetcast("verify", "both", *against) is ExitCode.OK
    write_at(targets[1], 4 * MIB, b"x")
    assert fleetcast("verify", "both", *against) is ExitCode.UNTRUSTED


def test_another_number_of_targets_is_refused(machine: tuple[Path, Path], tmp_path: Path) -> None:
    store, target = tmp_path / "store", blank(tmp_path / "a.raw", SIZE)
    assert fleetcast("capture", *machine, "both", "--store", store) is ExitCode.OK
    done = fleetcast("restore", "both", target, "--store", store, "--yes")
    assert done is ExitCode.DOES_NOT_FIT
    assert not target.read_bytes().strip(b"\0")


def test_a_disk_named_twice_is_refused(machine: tuple[Path, Path], tmp_path: Path) -> None:
    link = tmp_path / "link.raw"
    link.symlink_to(machine[0])
    with pytest.raises(Refused, match="named twice"):
        capture(machine[0], tmp_path / "store/x.fcast", more=[link])
