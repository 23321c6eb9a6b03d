"""The format's values: records, runs, regions, manifest, index, signature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from castcore import canonical
from castcore.disk import DiskLayout, Extent, TableType
from castcore.errors import BadImage
from castcore.image import (
    CHUNK_SIZE,
    ChunkKind,
    ChunkRecord,
    Codec,
    ImageDisk,
    Manifest,
    Source,
    UsedBytes,
    chunk_regions,
    decode_record,
    encode_index,
    encode_manifest,
    encode_record,
    encode_stored_digests,
    parse_index,
    parse_manifest,
    parse_stored_digests,
    sign_manifest,
    signer,
)
from castcore.image.index import ROWS
from castcore.image.manifest import from_runs, to_runs
from castcore.image.record import RECORD
from castcore.trust import SigningKey, digest

LAYOUT = DiskLayout(3 * CHUNK_SIZE + 4096, 512, TableType.NONE)
IN_USE = (Extent(512, 1024), Extent(2 * CHUNK_SIZE - 512, 1024), Extent(3 * CHUNK_SIZE, 4096))
NAMES = [digest(bytes([n])) for n in range(4)]
RECORDS = (
    ChunkRecord(0, 0, CHUNK_SIZE, ChunkKind.DATA, NAMES[0], 700, Codec.ZSTD, 0, 0),
    ChunkRecord(0, CHUNK_SIZE, CHUNK_SIZE, ChunkKind.ZERO, NAMES[1]),
    ChunkRecord(0, 2 * CHUNK_SIZE, CHUNK_SIZE, ChunkKind.DATA, NAMES[2], 700, Codec.ZSTD, 0, 0),
    ChunkRecord(0, 3 * CHUNK_SIZE, 4096, ChunkKind.DATA, NAMES[3], 4096, Codec.RAW, 0, 700),
)
BOOT_ENTRY = {"description": "x", "loader": "", "disk": 0, "partition": 1, "data": "", "active": True}


def manifest_of(index: bytes, **changes: object) -> Manifest:
    base = Manifest(
        name="small",
        created=1,
        disks=(ImageDisk(LAYOUT, IN_USE),),
        index_digest=digest(index),
        chunk_count=(len(index) - 64) // RECORD.size,
        packs=(4796,),
        source=Source("disk.img", "raw"),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def index_of(*records: ChunkRecord) -> bytes:
    return encode_index(encode_record(r) for r in records)


def test_both_descriptions_of_a_record_agree() -> None:
    assert ROWS.itemsize == RECORD.size == 64
    record = RECORDS[3]
    row = parse_index(index_of(*RECORDS), manifest_of(index_of(*RECORDS)))._rows[3]
    for field in ("offset", "length", "stored", "pack", "pack_offset", "disk", "kind", "codec"):
        assert int(row[field]) == getattr(record, field)
    assert row["digest"].tobytes() == record.digest
    assert decode_record(encode_record(record), 0) == record


def test_index_gives_records_back() -> None:
    data = index_of(*RECORDS)
    index = parse_index(data, manifest_of(data))
    assert tuple(index.records) == RECORDS
    assert index.records[-1] == RECORDS[3]
    assert index.records[1:3] == list(RECORDS[1:3])
    assert index.stored_lengths() == [700, 0, 700, 4096]
    assert index.chunks_of_kind(ChunkKind.ZERO) == [1]
    assert index.content_bytes() == LAYOUT.size
    with pytest.raises(IndexError):
        index.records[4]


def swapped() -> tuple[ChunkRecord, ...]:
    return (RECORDS[1], RECORDS[0], RECORDS[2], RECORDS[3])


@pytest.mark.parametrize(
    ("records", "says"),
    [
        (swapped(), "chunk 0 is not the region"),
        (RECORDS[:3], "ends before chunk"),
        (
            (*RECORDS, replace(RECORDS[3], offset=4 * CHUNK_SIZE)),
            "5 chunks where the extents in use make 4",
        ),
        ((*RECORDS[:3], replace(RECORDS[3], length=8192, stored=8192)), "chunk 3 is not the region"),
        ((*RECORDS[:3], replace(RECORDS[3], disk=1)), "chunk 3 is not the region"),
        ((*RECORDS[:3], replace(RECORDS[3], pack=1)), "chunk 3 lies in a pack"),
        ((*RECORDS[:3], replace(RECORDS[3], pack_offset=701)), "chunk 3 ends outside"),
        ((*RECORDS[:3], replace(RECORDS[3], stored=4095)), "chunk 3 is of no known kind"),
        ((*RECORDS[:3], replace(RECORDS[3], codec=Codec.ZSTD)), "chunk 3 is of no known kind"),
        ((replace(RECORDS[0], stored=0), *RECORDS[1:]), "chunk 0 is of no known kind"),
        ((RECORDS[0], replace(RECORDS[1], pack_offset=1), *RECORDS[2:]), "chunk 1 is of no known kind"),
    ],
)
def test_index_that_breaks_a_rule_is_refused(records: tuple[ChunkRecord, ...], says: str) -> None:
    data = index_of(*records)
    with pytest.raises(BadImage, match=says):
        parse_index(data, manifest_of(data))


def test_index_of_another_digest_or_length_is_refused() -> None:
    data = index_of(*RECORDS)
    with pytest.raises(BadImage, match="digest"):
        parse_index(data, manifest_of(data, index_digest=bytes(32)))
    with pytest.raises(BadImage, match="5 records need"):
        parse_index(data, manifest_of(data, chunk_count=5))


def test_extents_that_would_need_endless_records_allocate_nothing() -> None:
    huge = DiskLayout(1 << 61, 512, TableType.NONE)
    data = index_of(*RECORDS)
    with pytest.raises(BadImage):
        parse_index(data, manifest_of(data, disks=(ImageDisk(huge, (Extent(0, 1 << 61),)),)))


@pytest.mark.parametrize("extents", [(), (Extent(0, 512),), (Extent(512, 1), Extent(514, 7)), IN_USE])
def test_runs_spell_extents(extents: tuple[Extent, ...]) -> None:
    assert from_runs(to_runs(extents)) == extents


@pytest.mark.parametrize(
    "runs", [[0], [0, 0], [0, 5, 0, 5], [-1, 5], [0, True], "0", [0, 1 << 62], [0.5, 1]]
)
def test_runs_that_spell_no_normal_form_are_refused(runs: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        from_runs(runs)


def test_regions_cover_what_is_in_use_and_nothing_else() -> None:
    regions = list(chunk_regions(IN_USE, LAYOUT.size))
    assert [r.start for r in regions] == [0, CHUNK_SIZE, 2 * CHUNK_SIZE, 3 * CHUNK_SIZE]
    assert [r.length for r in regions] == [CHUNK_SIZE] * 3 + [4096]
    assert list(chunk_regions((Extent(5 * CHUNK_SIZE, 1),), 6 * CHUNK_SIZE)) == [
        Extent(5 * CHUNK_SIZE, CHUNK_SIZE)
    ]


def test_bytes_in_use_of_a_region() -> None:
    used = UsedBytes(IN_USE)
    assert used.within(0, CHUNK_SIZE) == (Extent(512, 1024),)
    assert used.within(CHUNK_SIZE, CHUNK_SIZE) == (Extent(2 * CHUNK_SIZE - 512, 512),)
    assert used.within(2 * CHUNK_SIZE, CHUNK_SIZE) == (Extent(2 * CHUNK_SIZE, 512),)
    assert used.within(2048, 4096) == ()
    assert UsedBytes(()).within(0, 4096) == ()


def test_manifest_round_trip() -> None:
    manifest = manifest_of(index_of(*RECORDS))
    assert parse_manifest(encode_manifest(manifest)) == manifest
    assert (manifest.used, manifest.stored) == (1024 + 1024 + 4096, 4796)


def edited(change: Callable[[dict[str, object]], object]) -> bytes:
    value = canonical.decode(encode_manifest(manifest_of(index_of(*RECORDS))), limit=1 << 20)
    change(value)
    return canonical.encode(value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v: v.update(version=3), "format 3; this Fleetcast reads formats 1 and 2"),
        (lambda v: v.update(format="tar"), "not a Fleetcast image"),
        (lambda v: v.update(chunk_size=4096), "chunk size is 4096"),
        (lambda v: v.pop("disks"), "disks"),
        (lambda v: v.update(name="../escape"), "name"),
        (lambda v: v.update(name=7), "int where a text"),
        (lambda v: v["index"].update(digest="00"), "digest of 1 bytes"),
        (lambda v: v["disks"][0].update(in_use=[0, 1 << 40]), "beyond the disk"),
        (lambda v: v["disks"][0]["layout"].update(sector_size=0), "sectors of 0 bytes"),
        (lambda v: v["packs"][0].update(name="../../etc/passwd"), "named"),
        (lambda v: v.update(boot_entries=[BOOT_ENTRY]), "entry for partition 1 of disk 0"),
        (lambda v: v.update(boot_entries=[BOOT_ENTRY | {"data": "x"}]), "hexadecimal"),
        (lambda v: v.update(boot_entries=[BOOT_ENTRY | {"loader": "x" * 1025}]), "at most 1024"),
        (lambda v: v["packs"][0].update(size=(2 << 30) + 1), "pack 0 of"),
    ],
)
def test_manifest_that_breaks_a_rule_is_refused(change: Callable[..., object], says: str) -> None:
    with pytest.raises(BadImage, match=says):
        parse_manifest(edited(change))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000, b'{"a": 1}'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(BadImage):
        parse_manifest(data)


def test_unknown_keys_are_left_for_later_versions() -> None:
    assert parse_manifest(edited(lambda v: v.update(something_new=["x"]))).name == "small"


def test_signature_names_its_signer_and_holds_the_manifest() -> None:
    key, manifest = SigningKey(bytes(range(32))), encode_manifest(manifest_of(index_of(*RECORDS)))
    file = sign_manifest(manifest, key)
    assert signer(manifest, file) == key.public
    with pytest.raises(BadImage, match="changed after"):
        signer(manifest + b" ", file)
    with pytest.raises(BadImage, match="95 bytes"):
        signer(manifest, file[:-1])


@pytest.mark.parametrize(
    ("chunks", "most", "runs"),
    [
        ([0, 1, 2, 3], 2 * CHUNK_SIZE, [[0, 1], [2, 3]]),
        ([0, 1, 2, 3], CHUNK_SIZE, [[0], [1], [2], [3]]),
        ([0, 2, 3], 8 * CHUNK_SIZE, [[0], [2, 3]]),
        ([0, 1, 2, 3], 8 * CHUNK_SIZE, [[0, 1, 2, 3]]),
        ([], CHUNK_SIZE, []),
    ],
)
def test_runs_are_of_neighbours_and_no_longer_than_asked(
    chunks: list[int], most: int, runs: list[list[int]]
) -> None:
    data = index_of(*RECORDS)
    assert list(parse_index(data, manifest_of(data)).runs(chunks, most)) == runs


def test_chunks_are_ordered_as_they_lie_in_the_packs() -> None:
    data = index_of(RECORDS[0], RECORDS[1], replace(RECORDS[2], pack_offset=4096), RECORDS[3])
    index = parse_index(data, manifest_of(data))
    assert index.stored_order(range(4)) == [0, 3, 2]
    assert index.stored_order([1, 2]) == [2]
    assert index.stored_order([]) == []


def test_stored_digests_come_back_and_only_those_of_the_manifest() -> None:
    data = encode_stored_digests(NAMES)
    manifest = manifest_of(index_of(*RECORDS), stored_digest=digest(data))
    found = parse_stored_digests(data, parse_manifest(encode_manifest(manifest)))
    assert [found[n] for n in range(4)] == NAMES
    for wrong in (data[:-1], data + b"\0", data[::-1]):
        with pytest.raises(BadImage, match="stored digests are damaged"):
            parse_stored_digests(wrong, manifest)
