"""What client and server say of an upload: read as written, hostile bytes refused by one error."""

from __future__ import annotations

from pathlib import Path

import pytest
from castcore import canonical
from castcore.disk import DiskLayout, Extent, TableType
from castcore.errors import BadPacket
from castcore.image import Codec, ImageDisk, Manifest
from castcore.trust import digest
from castcore.units import MIB
from castcore.upload import (
    HEAD,
    NewUpload,
    StoredContent,
    chunks_of,
    decode_contents,
    encode_contents,
    encode_unreadable,
    parse_unreadable,
    split_digests,
)
from hypothesis import given
from hypothesis import strategies as st

PLAN = Manifest(
    "office",
    1_750_000_000,
    (ImageDisk(DiskLayout(9 * MIB, 512, TableType.NONE), (Extent(0, 3 * MIB), Extent(5 * MIB, 512))),),
    b"",
    0,
    (),
)
NAME = digest(b"content")


def test_an_upload_is_read_as_it_was_written() -> None:
    new = NewUpload("office", PLAN, "k1", replace=True)
    read = NewUpload.parse(new.encode())
    assert (read.image, read.order, read.replace) == ("office", "k1", True)
    assert read.plan.disks == PLAN.disks
    assert chunks_of(read.plan) == 4


def test_contents_are_read_as_they_were_written() -> None:
    sent = [StoredContent(7, Codec.RAW, NAME, b"content"), StoredContent(MIB, Codec.ZSTD, NAME, b"z")]
    read = decode_contents(encode_contents(sent))
    assert [(c.length, c.codec, c.digest, bytes(c.stored)) for c in read] == [
        (c.length, c.codec, c.digest, c.stored) for c in sent
    ]
    assert decode_contents(b"") == []


@pytest.mark.parametrize(
    ("length", "stored", "codec"),
    [
        (0, 0, 1),
        (7, 0, 1),
        (MIB + 1, 7, 2),
        (2**32 - 1, 7, 2),
        (6, 7, 1),
        (7, 7, 0),
        (7, 7, 3),
        (7, 8, 2),
    ],
)
def test_a_content_of_impossible_size_or_codec_is_refused(length: int, stored: int, codec: int) -> None:
    with pytest.raises(BadPacket):
        decode_contents(HEAD.pack(length, stored, codec, NAME) + b"content")


@given(st.binary(max_size=200))
def test_any_bytes_are_contents_or_refused(data: bytes) -> None:
    try:
        for one in decode_contents(data):
            assert 0 < len(one.stored) <= one.length <= MIB
    except BadPacket:
        pass


def _request(**changes: object) -> bytes:
    value = canonical.decode(NewUpload("office", PLAN).encode(), limit=1 << 20)
    return canonical.encode({**value, **changes})


def _plan(**changes: object) -> dict[str, object]:
    value = canonical.decode(NewUpload("office", PLAN).encode(), limit=1 << 20)["plan"]
    return {**value, **changes}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        _request(image=7),
        _request(order=None),
        _request(replace="yes"),
        _request(more=1),
        _request(plan=None),
        _request(plan=_plan(disks=[])),
        _request(plan=_plan(disks=_plan()["disks"] * 65)),  # type: ignore[operator]
        _request(plan=_plan(packs=[{"name": "pack-0000", "size": 1}])),
        _request(plan=_plan(stored_digests="00" * 32)),
        _request(plan=_plan(name="../up")),
        _request(plan=_plan(chunk_size=1)),
    ],
)
def test_a_malformed_upload_is_refused(data: bytes) -> None:
    with pytest.raises(BadPacket):
        NewUpload.parse(data)


def test_what_was_unreadable_is_said_of_every_disk() -> None:
    said = canonical.encode(encode_unreadable([(Extent(512, 512),), ()]))
    assert parse_unreadable(said, 2) == [(Extent(512, 512),), ()]
    for bad in (b"{}", b"[]", said[:-1], canonical.encode({"unreadable": [[1, 0], []]})):
        with pytest.raises(BadPacket):
            parse_unreadable(bad, 2)
    with pytest.raises(BadPacket):
        parse_unreadable(said, 1)


def test_a_row_of_digests_has_whole_ones() -> None:
    assert split_digests(NAME * 3) == [NAME] * 3
    with pytest.raises(BadPacket):
        split_digests(NAME + b"x")


def test_the_plan_is_no_path(tmp_path: Path) -> None:
    assert NewUpload.parse(NewUpload("../../etc", PLAN).encode()).image == "../../etc", "refused later"
