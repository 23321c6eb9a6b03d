"""Before the first byte: the image must be the one the descriptor names, and the disk must take it."""

from __future__ import annotations

import dataclasses

import pytest
from castclient import plan
from castcore.cast.descriptor import CastDescriptor
from castcore.disk import DiskFacts, DiskLayout, Extent, TableType, parse_rules
from castcore.errors import DoesNotFit, InUse, Refused, Untrusted
from castcore.image import ImageDisk, Manifest, encode_index, encode_manifest
from castcore.trust import digest
from castcore.units import MIB

LAYOUT = DiskLayout(64 * MIB, 512, TableType.NONE)
EMPTY_INDEX = encode_index([])
MANIFEST = Manifest(
    name="debian",
    created=0,
    disks=(ImageDisk(LAYOUT, (Extent(0, 48 * MIB),)),),
    index_digest=digest(EMPTY_INDEX),
    chunk_count=0,
    packs=(),
)
DATA = encode_manifest(MANIFEST)
DESCRIPTOR = CastDescriptor(
    session=1,
    name="c1",
    server_key=bytes(32),
    session_key=bytes(32),
    root=MANIFEST.index_digest,
    manifest_digest=digest(DATA),
    lengths_digest=bytes(32),
    chunk_count=0,
    stored_bytes=0,
    symbol_size=1424,
    group="239.192.1.1",
    port=7100,
    feedback="192.0.2.1:7101",
)
DISK = DiskFacts("/dev/vda", "serial-1", 64 * MIB, 512)


def test_the_named_manifest_is_taken() -> None:
    assert plan.read_manifest(DESCRIPTOR, DATA) == MANIFEST


def test_another_manifest_is_refused() -> None:
    with pytest.raises(Untrusted, match="not the one"):
        plan.read_manifest(DESCRIPTOR, DATA + b"\n")


def test_a_descriptor_of_another_image_is_refused() -> None:
    with pytest.raises(Untrusted, match="does not speak of"):
        plan.read_manifest(dataclasses.replace(DESCRIPTOR, root=bytes(32)), DATA)


def test_the_only_disk_is_the_target() -> None:
    stick = dataclasses.replace(DISK, path="/dev/sdb", removable=True)
    assert plan.pick_targets(MANIFEST, [DISK, stick]) == (DISK,)


def test_a_named_disk_is_taken_though_there_are_others() -> None:
    other = dataclasses.replace(DISK, path="/dev/vdb")
    assert plan.pick_targets(MANIFEST, [other], named=True) == (other,)
    stick = dataclasses.replace(other, removable=True)
    assert plan.pick_targets(MANIFEST, [stick], named=True) == (stick,)
    with pytest.raises(Refused, match="2 disks"):
        plan.pick_targets(MANIFEST, [DISK, other])


def test_a_small_disk_is_refused_with_both_figures() -> None:
    small = dataclasses.replace(DISK, size=32 * MIB)
    with pytest.raises(DoesNotFit, match=r"/dev/vda.*too small.*48.*32"):
        plan.pick_targets(MANIFEST, [small])


def test_every_reason_is_named() -> None:
    bad = dataclasses.replace(DISK, size=MIB, sector_size=4096, held_by="mounted at /")
    with pytest.raises(DoesNotFit) as refused:
        plan.pick_targets(MANIFEST, [bad], named=True)
    assert all(word in refused.value.what for word in ("too small", "4096", "mounted at /"))


def test_a_disk_that_is_only_in_use_is_told_as_such() -> None:
    held = dataclasses.replace(DISK, held_by="mounted at /")
    with pytest.raises(InUse, match="in use: mounted at /"):
        plan.pick_targets(MANIFEST, [held], named=True)


def test_rules_choose_among_several_disks() -> None:
    fast = dataclasses.replace(DISK, path="/dev/nvme0n1", bus="nvme")
    rules = parse_rules('[[disk]]\nbus = "nvme"')
    assert plan.pick_targets(MANIFEST, [DISK, fast], rules=rules) == (fast,)
    with pytest.raises(Refused, match="no disk meets the rules"):
        plan.pick_targets(MANIFEST, [DISK], rules=rules)


DOUBLE = dataclasses.replace(
    MANIFEST,
    disks=(ImageDisk(DiskLayout(96 * MIB, 512, TableType.NONE), ()), MANIFEST.disks[0]),
)
LARGE = dataclasses.replace(DISK, path="/dev/sda", stable_id="serial-2", size=96 * MIB)
RULES = parse_rules('[[disk]]\nmin_size = "90 MiB"\n[[disk]]\nimage_disk = 1\nmax_size = "90 MiB"')


def test_an_image_of_two_disks_takes_those_the_rules_say() -> None:
    for seen in ([DISK, LARGE], [LARGE, DISK]):
        assert plan.pick_targets(DOUBLE, seen, rules=RULES) == (LARGE, DISK)


def test_without_rules_an_image_of_two_disks_is_refused() -> None:
    with pytest.raises(Refused, match="2 disks"):
        plan.pick_targets(DOUBLE, [DISK, LARGE])


def test_each_disk_must_take_its_part() -> None:
    large = dataclasses.replace(LARGE, size=94 * MIB, sector_size=4096)
    with pytest.raises(DoesNotFit, match=r"/dev/sda.*sectors of 4096"):
        plan.pick_targets(DOUBLE, [DISK, large], rules=RULES)
