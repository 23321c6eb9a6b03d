"""Partclone's domain maps."""

from __future__ import annotations

import pytest
from castcore.disk import Extent
from castcore.disk.domainmap import free_extents
from castcore.errors import BadImage

HEAD = """# Domain logfile created by unset_name v0.3.23
# Source: ext4.img
# Offset: 0x00000000
# current_pos  current_status
0x04000000     ?
#      pos        size  status
"""


def test_free_blocks_are_told_from_those_in_use() -> None:
    text = HEAD + "0x00000000  0x00003000  +\n0x00003000  0x00001000  ?\n0x00004000  0x00007000  +\n"
    assert free_extents(text, 0xC000) == (Extent(0x3000, 0x1000),)


def test_what_the_map_does_not_name_is_in_use() -> None:
    text = HEAD + "0x00000000  0x00001000  +\n0x00001000  0x00002000  ?\n"
    assert free_extents(text, 1 << 40) == (Extent(0x1000, 0x2000),)


def test_a_map_longer_than_its_partition_is_cut() -> None:
    text = HEAD + "0x00000000  0x00001000  +\n0x00001000  0x00009000  ?\n"
    assert free_extents(text, 0x2000) == (Extent(0x1000, 0x1000),)


def test_a_repeated_block_counts_once_and_in_use_wins() -> None:
    text = HEAD + "0x0  0x1000  +\n0x1000  0x3000  ?\n0x0  0x1000  +\n0x2000  0x800  +\n"
    assert free_extents(text, 0x4000) == (Extent(0x1000, 0x1000), Extent(0x2800, 0x1800))


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEAD,
        HEAD + "0x0  0x1000  ?\n",
        HEAD + "0x0  0x1000\n",
        HEAD + "0x0  zero  +\n",
        HEAD + "0x0  -1  +\n",
        HEAD + "0x0  0x1000  -\n",
    ],
)
def test_what_is_no_whole_map_is_refused(text: str) -> None:
    with pytest.raises(BadImage, match="domain map"):
        free_extents(text, 0x4000)
