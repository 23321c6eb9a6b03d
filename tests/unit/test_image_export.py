"""Exporting: a partition's file takes no room for zeros; what was left out is named, also by shrink."""

from __future__ import annotations

from pathlib import Path

import pytest
from castcore.disk import Extent, Partition, TableType, Taken
from castcore.edge.image.exporting import export
from castcore.edge.image.imagefile import Image
from castcore.edge.image.shrink import ShrinkOptions, shrink
from castcore.errors import Refused
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


def test_an_image_without_one_of_its_partitions_is_no_whole_disk(tmp_path: Path) -> None:
    raw = blank(tmp_path / "disk.raw", 10 * MIB)
    part = Partition(3, MIB, 8 * MIB, type="linux", name="data", taken=Taken.NOTHING)
    in_use = (Extent(0, MIB),)
    path = make_image(tmp_path, "less", raw, in_use, table=TableType.GPT, partitions=(part,))
    says = "less was captured without partition 3 of disk 0"
    with Image.open(path) as image:
        with pytest.raises(Refused, match=says) as refused:
            export(image, tmp_path / "disk.raw", replace=True)
        assert "--partition" in refused.value.hint
        with pytest.raises(Refused, match=says) as refused:
            shrink(image, tmp_path / "new.fcast", ShrinkOptions())
        assert refused.value.hint == "capture it with all of its partitions"
