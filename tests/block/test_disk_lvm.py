"""Physical volumes of LVM: what is not plainly understood is taken whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from castcore.disk import Taken, total
from castcore.edge.disk.survey import Survey, survey
from castcore.units import MIB

from tests.block.diskimages import loop
from tests.block.volumegroup import GROUP, group, lvm
from tests.support.images import blank, flip

pytestmark = pytest.mark.root

SIZE = 200 * MIB


def surveyed(disk: Path) -> tuple[Survey, str]:
    result = survey(disk)
    (part,) = result.layout.partitions
    assert part.fstype == "LVM2_member"
    return result, part.why


def test_what_no_volume_has_is_free_and_an_empty_group_is_small(tmp_path: Path) -> None:
    disk = blank(tmp_path / "disk", SIZE)
    with loop(disk) as device:
        group(device)
    result, why = surveyed(disk)
    assert total(result.in_use) < 6 * MIB
    assert "no logical volume" in why


def test_a_damaged_or_unfinished_metadata_area_is_not_believed(tmp_path: Path) -> None:
    disk = blank(tmp_path / "disk", SIZE)
    with loop(disk) as device:
        group(device, plain=32 * MIB)
    raw = disk.read_bytes()
    text = [m.start() for m in re.finditer(rb"seqno = ", raw)][-1]
    header = raw.index(b" LVM2 x[5A%r0N*>")
    for at, words in (
        (text + 9, "checksum of its metadata"),
        (header + 30, "header of its metadata"),
    ):
        flip(disk, at)
        result, why = surveyed(disk)
        assert words in why
        assert (result.layout.partitions[0].taken, total(result.in_use)) == (Taken.EVERY, SIZE)
        flip(disk, at)
    assert "plain" in surveyed(disk)[1]


def test_a_group_of_two_disks_is_read_from_each(tmp_path: Path) -> None:
    one, two = blank(tmp_path / "one", SIZE), blank(tmp_path / "two", SIZE)
    with loop(one) as first, loop(two) as second:
        both = f"{first}$|^{second}"
        lvm(both, "pvcreate", first, second)
        lvm(both, "vgcreate", GROUP, first, second)
        lvm(both, "lvcreate", "-an", "-Zn", "-Wn", "-L", "320m", "-n", "wide", GROUP)
    for disk in (one, two):
        result, why = surveyed(disk)
        assert f"{GROUP}/wide every-sector (is not on this physical volume alone)" in why
        assert 120 * MIB < total(result.in_use) <= SIZE
