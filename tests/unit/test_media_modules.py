"""Which kernel modules patterns choose."""

from __future__ import annotations

import pytest
from castmedia.modules import parse_dependencies, select

DEP = """\
kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko.xz kernel/net/core/failover.ko.xz
kernel/drivers/net/net_failover.ko.xz: kernel/net/core/failover.ko.xz
kernel/net/core/failover.ko.xz:
kernel/drivers/net/ethernet/intel/e1000/e1000.ko.xz:
kernel/drivers/net/ethernet/jme.ko.xz: kernel/drivers/net/mii.ko.xz
kernel/drivers/net/mii.ko.xz:
kernel/drivers/net/wireless/ath.ko.xz:
"""
TABLE = parse_dependencies(DEP)
E1000 = "kernel/drivers/net/ethernet/intel/e1000/e1000.ko.xz"
JME = "kernel/drivers/net/ethernet/jme.ko.xz"
MII = "kernel/drivers/net/mii.ko.xz"


def test_what_a_module_needs_comes_along() -> None:
    assert select(TABLE, ["drivers/net/virtio_net.ko"]) == (
        "kernel/drivers/net/net_failover.ko.xz",
        "kernel/drivers/net/virtio_net.ko.xz",
        "kernel/net/core/failover.ko.xz",
    )


def test_one_star_stays_in_its_folder_and_two_go_below() -> None:
    assert select(TABLE, ["drivers/net/ethernet/*"]) == (JME, MII)
    assert select(TABLE, ["drivers/net/ethernet/**"]) == (E1000, JME, MII)


def test_a_bang_takes_away_what_stood_before_it_only() -> None:
    assert select(TABLE, ["drivers/net/ethernet/**", "!drivers/net/ethernet/jme.ko"]) == (E1000,)
    assert JME in select(TABLE, ["!drivers/net/ethernet/jme.ko", "drivers/net/ethernet/**"])


def test_a_needed_module_stays_though_taken_away() -> None:
    assert MII in select(TABLE, ["drivers/net/mii.ko", "drivers/net/ethernet/*", "!drivers/net/mii.ko"])


def test_a_dot_is_a_dot() -> None:
    with pytest.raises(ValueError, match="no kernel module matches 'drivers/net/miiXko'"):
        select(TABLE, ["drivers/net/miiXko"])


@pytest.mark.parametrize("pattern", ["drivers/gone/*", "!drivers/gone/*"])
def test_a_pattern_that_names_nothing_is_an_error(pattern: str) -> None:
    with pytest.raises(ValueError, match="no kernel module matches"):
        select(TABLE, [pattern])


@pytest.mark.parametrize("suffix", ["", ".xz", ".zst", ".gz"])
def test_compression_of_modules_does_not_matter(suffix: str) -> None:
    assert select({f"kernel/fs/fat/fat.ko{suffix}": ()}, ["fs/fat/fat.ko"]) == (
        f"kernel/fs/fat/fat.ko{suffix}",
    )
