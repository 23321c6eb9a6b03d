"""Exporting a partition: a file of what is in use, which takes no room for zeros."""

from __future__ import annotations

from pathlib import Path

from castcore.disk import Extent, Partition, TableType, Taken
from castcore.edge.image.exporting import export
from castcore.edge.image.imagefile import Image
from castcore.units import MIB

from tests.support.images import blank, make_image, noise, write_at


def test_zeros_in_use_take_no_room_in_an_exported_partition(tmp_path: Path) -> None:
    raw = blank(tmp_path / "disk.raw", 10 * MIB)
    write_at(raw, 2 * MIB, noise(MIB, 1))
    write_at(raw, 8 * MIB, noise(MIB, 2))
    part = Partition(1, MIB, 8 * MIB, type="linux", name="data", taken=Taken.EVERY)
    in_use = (Extent(0, 10 * MIB),)
    path = make_image(tmp_path, "zeros", raw, in_use, table=TableType.GPT, partitions=(part,))
    with Image.open(path) as image:
        (made,) = export(image, tmp_path / "part.raw", partition=(0, 1))
    assert made.path.read_bytes() == raw.read_bytes()[MIB : 9 * MIB]
    assert made.allocated < 3 * MIB
