"""An image is proven as it lies there: by the digests of its stored bytes, nothing expanded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge.image import storedcheck
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import MANIFEST_FILE, STORED_DIGESTS_FILE
from castcore.edge.image.storedcheck import check_stored
from castcore.edge.image.verify import verify_image
from castcore.errors import BadImage
from castcore.image import ChunkDecoder, ChunkKind, Codec, encode_manifest
from castcore.progress import Progress
from castcore.trust import digest
from castcore.units import MIB

from tests.support.images import blank, flip, make_image, noise, write_at

# Text, raw noise, zeros, the same text again, noise, a short tail.
SIZE = 5 * MIB + 4096
ZERO, AGAIN, LAST = 2, 3, 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    raw = blank(tmp_path / "disk.raw", SIZE)
    for chunk in (0, AGAIN):
        write_at(raw, chunk * MIB, b"text " * 200_000)
    for chunk, length in ((1, MIB), (4, MIB), (LAST, 4096)):
        write_at(raw, chunk * MIB, noise(length, chunk))
    return make_image(tmp_path, "small", raw, (Extent(0, SIZE),))


@pytest.fixture
def image(path: Path) -> Iterator[Image]:
    with Image.open(path) as opened:
        yield opened


def test_the_digests_are_of_the_stored_bytes(image: Image) -> None:
    digests = image.stored_digests()
    assert digests is not None
    for chunk, record in enumerate(image.index.records):
        stored = image.read_stored(chunk)
        assert digests[chunk] == (digest(stored) if record.kind is ChunkKind.DATA else bytes(32))
    assert image.index.records[0].codec is Codec.ZSTD
    assert digests[0] == digests[AGAIN] != image.index.records[0].digest


@pytest.mark.parametrize("run", [MIB, 2 * MIB, 64 * MIB])
def test_a_whole_image_is_proven_unexpanded(
    image: Image, monkeypatch: pytest.MonkeyPatch, run: int
) -> None:
    monkeypatch.setattr(storedcheck, "RUN", run)
    monkeypatch.setattr(ChunkDecoder, "decode", None)
    told: list[Progress] = []
    check_stored(image, progress=told.append)
    assert told[-1].done == told[-1].total == image.manifest.stored + image.index.records[AGAIN].stored


@pytest.mark.parametrize("chunk", [1, 4, LAST])
def test_a_flipped_byte_is_named_and_only_looked_for_where_asked(image: Image, chunk: int) -> None:
    place = image.index.records[chunk].pack_offset
    flip(image.path / "pack-0000", place + 7)
    with pytest.raises(BadImage, match=f"pack-0000 is damaged at byte {place}: chunk {chunk} "):
        check_stored(image)
    with pytest.raises(BadImage):
        check_stored(image, chunks=[ZERO, chunk])
    check_stored(image, chunks=[c for c in range(LAST + 1) if c != chunk])


def test_all_damage_is_counted(image: Image) -> None:
    flip(image.path / "pack-0000", image.index.records[0].pack_offset + 9)
    with pytest.raises(BadImage, match=r"chunk 0 .*\(2 chunks are damaged\)"):
        check_stored(image)


def test_a_pack_that_shrinks_meanwhile_is_noticed(image: Image) -> None:
    with (image.path / "pack-0000").open("r+b") as file:
        file.truncate(image.index.records[LAST].pack_offset + 1)
    with pytest.raises(BadImage, match=r"chunk 5 .*the pack ends inside it"):
        check_stored(image)


def test_an_image_without_them_is_proven_by_its_contents(path: Path, image: Image) -> None:
    older = replace(image.manifest, stored_digest=b"")
    (path / MANIFEST_FILE).write_bytes(encode_manifest(older))
    (path / STORED_DIGESTS_FILE).unlink()
    with Image.open(path) as opened:
        assert opened.stored_digests() is None
        check_stored(opened)
        verify_image(opened)
        flip(path / "pack-0000", opened.index.records[4].pack_offset)
        with pytest.raises(BadImage, match="chunk 4 "):
            check_stored(opened)


def test_a_chunk_without_one_is_proven_by_its_content(path: Path, image: Image) -> None:
    data = bytearray((path / STORED_DIGESTS_FILE).read_bytes())
    data[4 * 32 : 5 * 32] = bytes(32)
    (path / STORED_DIGESTS_FILE).write_bytes(data)
    some = replace(image.manifest, stored_digest=digest(bytes(data)))
    (path / MANIFEST_FILE).write_bytes(encode_manifest(some))
    with Image.open(path) as opened:
        check_stored(opened)
        verify_image(opened)
        flip(path / "pack-0000", opened.index.records[4].pack_offset)
        with pytest.raises(BadImage, match=r"chunk 4 .*digest"):
            check_stored(opened)


def test_digests_that_are_missing_or_others_are_refused(path: Path, image: Image) -> None:
    file = path / STORED_DIGESTS_FILE
    flip(file, 40)
    with pytest.raises(BadImage, match="the stored digests are damaged"):
        check_stored(image)
    file.unlink()
    with pytest.raises(BadImage, match="no complete image: it has no stored-digests"):
        check_stored(image)


def test_verify_notices_digests_that_lie(path: Path, image: Image) -> None:
    data = bytearray((path / STORED_DIGESTS_FILE).read_bytes())
    data[4 * 32] ^= 1
    (path / STORED_DIGESTS_FILE).write_bytes(data)
    lying = replace(image.manifest, stored_digest=digest(bytes(data)))
    (path / MANIFEST_FILE).write_bytes(encode_manifest(lying))
    with Image.open(path) as opened, pytest.raises(BadImage, match=r"chunk 4 .*not those that were"):
        verify_image(opened)
