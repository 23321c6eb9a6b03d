"""Rule files: what they demand, and that nothing is chosen when they are not met."""

from __future__ import annotations

from dataclasses import replace

import pytest
from castcore.disk import DiskFacts, choose_targets, parse_rules
from castcore.errors import Refused
from castcore.units import GIB, parse_size

NVME = DiskFacts(
    "/dev/nvme0n1",
    "wwn-eui.1",
    512 * 10**9,
    512,
    model="Samsung SSD 980 PRO",
    serial="S5",
    wwn="eui.1",
    bus="nvme",
    names=("by-path/pci-0000:01:00.0-nvme-1",),
)
SATA = DiskFacts("/dev/sda", "wwn-0x5", 4 * 10**12, 512, model="WDC WD40", wwn="0x5", bus="ata")
FAST = '[[disk]]\nbus = ["nvme"]\nmin_size = "500 GB"\n'


def test_the_disk_that_meets_the_rule_is_chosen() -> None:
    for text in (
        FAST,
        '[[disk]]\nmodel = "samsung*"',
        '[[disk]]\nserial = "S5"',
        '[[disk]]\nwwn = "EUI.1"',
        '[[disk]]\npath = "pci-0000:01:*"',
        "[[disk]]\nmax_size = 600_000_000_000",
    ):
        assert choose_targets(1, [SATA, NVME], parse_rules(text)) == [NVME]


def test_both_ends_of_a_size_count() -> None:
    exact = '[[disk]]\nmin_size = "512 GB"\nmax_size = "512 GB"'
    assert choose_targets(1, [SATA, NVME], parse_rules(exact)) == [NVME]


def test_tables_are_tried_in_their_order() -> None:
    rules = parse_rules('[[disk]]\nmodel = "Intel*"\n' + '[[disk]]\nbus = "ata"\n' + FAST)
    assert choose_targets(1, [SATA, NVME], rules) == [SATA]


def test_each_disk_of_an_image_has_its_own_rules() -> None:
    rules = parse_rules('[[disk]]\nimage_disk = 1\nbus = "ata"\n' + FAST)
    assert choose_targets(2, [SATA, NVME], rules) == [NVME, SATA]
    with pytest.raises(Refused, match="no rule speaks of disk 2"):
        choose_targets(3, [SATA, NVME], rules)


def test_no_match_stops_with_both_figures() -> None:
    with pytest.raises(Refused) as refused:
        choose_targets(1, [SATA, NVME], parse_rules('[[disk]]\nmin_size = "5 TB"'))
    assert refused.value.what.startswith("no disk meets the rules for disk 0")
    for words in ("/dev/sda", "/dev/nvme0n1", "(512000000000 bytes)", "(5000000000000 bytes)"):
        assert words in refused.value.what


def test_two_matches_are_listed_and_none_is_taken() -> None:
    twin = replace(NVME, path="/dev/nvme1n1", stable_id="wwn-eui.2", wwn="eui.2")
    with pytest.raises(Refused, match=r"2 disks meet.*by-id:wwn-eui.1.*by-id:wwn-eui.2"):
        choose_targets(1, [NVME, twin], parse_rules(FAST))


def test_a_rule_never_reaches_what_is_no_candidate() -> None:
    for state in ({"removable": True}, {"held_by": "mounted at /"}, {"boot_medium": True}):
        with pytest.raises(Refused):
            choose_targets(1, [SATA, replace(NVME, **state)], parse_rules(FAST))


def test_several_disks_without_rules_are_refused() -> None:
    with pytest.raises(Refused, match=r"holds 2 disks.*/dev/sda.*/dev/nvme0n1"):
        choose_targets(2, [SATA, NVME], ())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "one or more"),
        ("nonsense", "Expected"),
        ("disk = 3", "one or more"),
        ("[[disk]]", "demands nothing"),
        ("[[disk]]\nimage_disk = 0", "demands nothing"),
        ("[[disk]]\nmodell = 'x'", "modell has no meaning"),
        ("[[disk]]\nmodel = 3", "model is 3"),
        ("[[disk]]\nmodel = ''", "model is ''"),
        ("[[disk]]\nbus = [3]", "bus is"),
        ("[[disk]]\nmin_size = 'big'", "'big' is no size"),
        ("[[disk]]\nmin_size = -1", "min_size is -1"),
        ("[[disk]]\nmin_size = true", "min_size is True"),
        ("[[disk]]\nbus = 'ata'\nimage_disk = -1", "image_disk is -1"),
        ("[rules]\n[[disk]]\nbus = 'ata'", "rules has no meaning"),
    ],
)
def test_a_file_that_is_no_rule_file_says_why(text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        parse_rules(text)


def test_sizes_as_people_write_them() -> None:
    assert parse_size("512") == 512
    assert parse_size("64 GiB") == parse_size("64G") == parse_size("64g") == 64 * GIB
    assert parse_size("500GB") == 500 * 10**9
    assert parse_size("1.5 TB") == 1_500_000_000_000
    assert parse_size("0.5k") == 512
    for text in ("", "G", "12 PB", "-1", "1,5 GB", "0x10"):
        with pytest.raises(ValueError, match="no size"):
            parse_size(text)
