"""A small image of format 2, which borrows from ``tiny-v1``: later versions must read both alike."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from castcore.edge.image.imagefile import Image
from castcore.image import (
    CHUNK_SIZE,
    BorrowedPack,
    Codec,
    Lender,
    Piece,
    encode_index,
    encode_manifest,
    encode_record,
    pack_name,
)
from castcore.trust import SigningKey

from tests.golden.independent import NotAnImage, read_image
from tests.golden.test_image_golden import ROOT, TINY, contents

BASED = TINY.with_name("tiny-v2.fcast")
BASED_ROOT = "87f22f46d3697925f0e97fbed13a2bc16e9fd1da72bb3352cc32aac95ccf89c4"
# Between them is what tiny-v1 has of its third chunk.
PIECES = (Piece(0, 0, 0, 592), Piece(0, 0, 662, 4096))
CHANGED = b"Fleetcast images. " * 3600


def based_contents() -> list[bytes]:
    """The content of each chunk: only the third, text again, is another one than that of tiny-v1."""
    first, zeros, _, last = contents()
    return [first, zeros, CHANGED.ljust(CHUNK_SIZE, b"\0"), last]


def test_the_manifest_says_what_it_said() -> None:
    with Image.open(BASED) as image:
        manifest = image.manifest
        assert manifest.index_digest.hex() == BASED_ROOT
        assert manifest.lenders == (Lender("tiny-v1", bytes.fromhex(ROOT), 4),)
        assert manifest.borrowed == (BorrowedPack(0, PIECES),)
        assert manifest.packs == (sum(p.length for p in PIECES), manifest.stored)
        assert [p.name for p in sorted(BASED.glob("pack-*"))] == [pack_name(1)]
        assert image.signed_by == SigningKey(bytes(range(32))).public


def test_every_chunk_holds_what_it_held() -> None:
    with Image.open(BASED) as image:
        assert [r.codec for r in image.index.records] == [Codec.ZSTD, Codec.NONE, Codec.ZSTD, Codec.RAW]
        assert [r.pack for r in image.index.records] == [0, 0, 1, 0]
        assert [bytes(image.content(n)) for n in range(4)] == based_contents()
    assert [chunk.content for chunk in read_image(BASED)[1]] == based_contents()


def test_writing_it_again_gives_the_same_bytes() -> None:
    with Image.open(BASED) as image:
        assert encode_manifest(image.manifest) == image.manifest_bytes
        assert encode_index(map(encode_record, image.index.records)) == image.index_bytes


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "index", "pack-0001"])
def test_the_other_reader_refuses_what_was_changed(tmp_path: Path, name: str) -> None:
    length = (BASED / name).stat().st_size
    _refused_with(tmp_path, BASED.name, name, range(0, length, max(1, length // 60)))


@pytest.mark.parametrize("name", ["index", "pack-0000"])
def test_the_other_reader_refuses_a_lender_that_was_changed(tmp_path: Path, name: str) -> None:
    places = range(0, 320, 5) if name == "index" else [*range(0, 592, 8), *range(662, 4758, 64)]
    _refused_with(tmp_path, TINY.name, name, places)


def _refused_with(store: Path, image: str, name: str, places: Iterable[int]) -> None:
    for one in (TINY, BASED):
        shutil.copytree(one, store / one.name)
    path = store / image / name
    whole = path.read_bytes()
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises((NotAnImage, KeyError, ValueError, TypeError)):
            read_image(store / BASED.name)


def test_the_other_reader_needs_the_lender_or_the_bytes(tmp_path: Path) -> None:
    copy = shutil.copytree(BASED, tmp_path / BASED.name)
    with pytest.raises(NotAnImage, match="lender that is not there"):
        read_image(copy)
    with Image.open(BASED) as image:
        runs = image.packs.runs(0)
        (copy / pack_name(0)).write_bytes(b"".join(image.packs.read(0, *run) for run in runs))
    assert [chunk.content for chunk in read_image(copy)[1]] == based_contents()
    with Image.open(copy) as image:
        assert [bytes(image.content(n)) for n in range(4)] == based_contents()
