"""Whatever is done to an image's files: BadImage, or nothing was lost."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from castcore.disk import Extent, merge
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.edge.image.store import (
    INDEX_FILE,
    MANIFEST_FILE,
    SIGNATURE_FILE,
    STORED_DIGESTS_FILE,
)
from castcore.edge.image.storedcheck import check_stored
from castcore.edge.image.verify import verify_image
from castcore.errors import BadImage
from castcore.image import encode_manifest, parse_index, parse_manifest, sign_manifest
from castcore.trust import SigningKey
from castcore.units import KIB, MIB
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.images import blank, make_image, noise, write_at

SIZE = 3 * MIB + 4 * KIB
FILES = (MANIFEST_FILE, INDEX_FILE, STORED_DIGESTS_FILE, SIGNATURE_FILE, "pack-0000")
QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def signed() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        raw = blank(Path(folder) / "disk.raw", SIZE)
        write_at(raw, 0, noise(8 * KIB, 1) + b"words " * 1000)
        write_at(raw, 3 * MIB, noise(4 * KIB, 2))
        in_use = (Extent(0, 16 * KIB), Extent(MIB, 8 * KIB), Extent(3 * MIB, 4 * KIB))
        path = make_image(Path(folder), "small", raw, in_use)
        manifest = (path / MANIFEST_FILE).read_bytes()
        (path / SIGNATURE_FILE).write_bytes(sign_manifest(manifest, SigningKey(bytes(32))))
        yield path


@QUICK
@given(st.sampled_from(FILES), st.integers(0, 1 << 20), st.integers(1, 255))
def test_any_flipped_byte_is_noticed(signed: Path, name: str, place: int, mask: int) -> None:
    with Damaged(signed, name) as (folder, data):
        data[place % len(data)] ^= mask
        (folder / name).write_bytes(data)
        with pytest.raises(BadImage), Image.open(folder) as image:
            verify_image(image)
        with pytest.raises(BadImage), Image.open(folder) as image:
            check_stored(image)


@QUICK
@given(st.sampled_from(FILES), st.integers(0, 1 << 20), st.binary(max_size=8))
def test_any_cut_or_lengthened_file_is_noticed(signed: Path, name: str, place: int, tail: bytes) -> None:
    with Damaged(signed, name) as (folder, data):
        changed = bytes(data[: place % len(data)]) + tail
        (folder / name).write_bytes(changed)
        if changed != data:
            with pytest.raises(BadImage), Image.open(folder) as image:
                verify_image(image)
            with pytest.raises(BadImage), Image.open(folder) as image:
                check_stored(image)


class Damaged:
    """A copy of an image of which one file will be damaged."""

    def __init__(self, image: Path, name: str) -> None:
        self._image, self._name = image, name
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> tuple[Path, bytearray]:
        copy = Path(self._folder.name) / self._image.name
        shutil.copytree(self._image, copy)
        return copy, bytearray((copy / self._name).read_bytes())

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


@given(st.binary(max_size=200))
def test_no_bytes_make_the_manifest_parser_fail_otherwise(data: bytes) -> None:
    with pytest.raises(BadImage):
        parse_manifest(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data(), JSON)
def test_any_value_anywhere_in_the_manifest_is_taken_or_refused(
    signed: Path, data: st.DataObject, value: object
) -> None:
    from castcore import canonical

    tree = canonical.decode((signed / MANIFEST_FILE).read_bytes(), limit=MIB)
    at = tree
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = value
    try:
        encoded = canonical.encode(tree)
    except UnicodeEncodeError:
        return
    try:
        manifest = parse_manifest(encoded)
        parse_index((signed / INDEX_FILE).read_bytes(), manifest)
    except BadImage:
        return
    assert parse_manifest(encode_manifest(manifest)) == manifest


EXTENTS = st.lists(
    st.builds(lambda s, n: Extent(512 * s, 512 * n), st.integers(0, 6000), st.integers(1, 3000)),
    max_size=8,
)


@QUICK
@given(EXTENTS, st.lists(st.integers(0, 12), max_size=4), st.integers(1, 100))
def test_restored_is_what_was_in_use_and_the_rest_stays(
    extents: list[Extent], noisy: list[int], seed: int
) -> None:
    in_use = merge(Extent(e.start, min(e.length, SIZE - e.start)) for e in extents)
    with tempfile.TemporaryDirectory() as folder:
        raw, target = blank(Path(folder) / "disk.raw", SIZE), Path(folder) / "target.raw"
        for n in noisy:
            write_at(raw, n * 256 * KIB, noise(4 * KIB, seed + n))
        target.write_bytes(b"\xaa" * SIZE)
        with (
            Image.open(make_image(Path(folder), "any", raw, in_use)) as image,
            BlockFile.open_target(target) as disk,
        ):
            restore(image, [disk], verify=True)
        expected = bytearray(b"\xaa" * SIZE)
        for e in in_use:
            expected[e.start : e.end] = raw.read_bytes()[e.start : e.end]
        assert target.read_bytes() == bytes(expected)
