"""Manifests and indexes that lie: huge numbers, deep nesting, texts that steer. Our error, at once."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from castcore import canonical
from castcore.disk import Extent
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import INDEX_FILE, MANIFEST_FILE, list_images
from castcore.edge.image.verify import verify_image
from castcore.errors import BadImage, FleetcastError
from castcore.image import encode_manifest, parse_index, parse_manifest
from castcore.trust import digest
from castcore.units import KIB, MIB
from castserver.cli.imagescreen import borrowing_lines, image_json, image_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.basedimages import two_images
from tests.support.images import blank, make_image, noise, write_at

SIZE = 3 * MIB + 4 * KIB
MOST_MEMORY = 16 * MIB
MOST_SECONDS = 5.0


@pytest.fixture(scope="module")
def whole() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        raw = blank(Path(folder) / "disk.raw", SIZE)
        write_at(raw, 0, noise(8 * KIB, 1) + b"words " * 1000)
        write_at(raw, 3 * MIB, noise(4 * KIB, 2))
        in_use = (Extent(0, 16 * KIB), Extent(MIB, 8 * KIB), Extent(3 * MIB, 4 * KIB))
        yield make_image(Path(folder), "small", raw, in_use)


def bounded(work: Callable[[], object]) -> None:
    """``work`` ends well or with our own error, soon and with little memory."""
    tracemalloc.start()
    began = time.monotonic()
    try:
        work()
    except FleetcastError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_MEMORY
    assert time.monotonic() - began < MOST_SECONDS


def tree_of(whole: Path) -> dict[str, Any]:
    value: dict[str, Any] = canonical.decode((whole / MANIFEST_FILE).read_bytes(), limit=MIB)
    return value


def used(whole: Path, manifest: bytes, index: bytes | None = None) -> None:
    """Everything that reads an image, on a copy with another manifest and index."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(whole, Path(folder) / whole.name)
        (copy / MANIFEST_FILE).write_bytes(manifest)
        if index is not None:
            (copy / INDEX_FILE).write_bytes(index)
        bounded(lambda: list_images(Path(folder)))
        bounded(lambda: _read(copy))


def _read(path: Path) -> None:
    with Image.open(path) as image:
        image_lines(image.manifest)
        json.dumps(image_json(image.manifest, path))
        verify_image(image)


HUGE = st.sampled_from(
    [1 << 31, 1 << 32, (1 << 41), 1 << 53, (1 << 62) - 1, 1 << 62, 1 << 63, 1 << 200, -1]
)


@settings(max_examples=150)
@given(st.data())
def test_any_number_may_be_huge(whole: Path, data: st.DataObject) -> None:
    tree = tree_of(whole)
    places = list(_numbers(tree))
    for parent, key in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        parent[key] = data.draw(HUGE)
    used(whole, canonical.encode(tree))


def _numbers(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list):
            yield from _numbers(inner)
        elif type(inner) is int:
            yield value, key


def test_a_disk_of_exabytes_in_use_is_refused_before_its_index_is_read(whole: Path) -> None:
    size = (1 << 62) - 512
    tree = tree_of(whole)
    disk = tree["disks"][0]
    disk["layout"]["size"] = size
    disk["in_use"] = [0, size]
    tree["index"]["records"] = -(-size // MIB)
    used(whole, canonical.encode(tree))
    with pytest.raises(BadImage):
        parse_index((whole / INDEX_FILE).read_bytes(), parse_manifest(canonical.encode(tree)))


@pytest.mark.parametrize("depth", [31, 33, 1000, 200_000])
def test_deep_nesting_is_refused(whole: Path, depth: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        text = opening * depth + "1" + closing * depth
        used(whole, text.encode())
        spelled = canonical.encode(tree_of(whole))[:-1] + f',"zz":{text}}}'.encode()
        used(whole, spelled)


def test_a_manifest_larger_than_any_is_refused_before_it_is_read(whole: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(whole, Path(folder) / whole.name)
        for name in (MANIFEST_FILE, INDEX_FILE, "manifest.sig"):
            blank(copy / name, 1 << 40)
            bounded(lambda: list_images(Path(folder)))
            bounded(lambda: _read(copy))
            with pytest.raises(BadImage):
                Image.open(copy)
            shutil.rmtree(copy)
            shutil.copytree(whole, copy)


STEERING = "\x1b[2J\x1b]0;owned\x07\r\n" + "x" * 300


def test_texts_of_a_manifest_steer_no_terminal(whole: Path) -> None:
    tree = tree_of(whole)
    partition = {"number": 1, "start": 0, "length": 512, "label": STEERING, "why": STEERING}
    partition |= {"name": STEERING, "fstype": STEERING, "type": STEERING, "taken": "used-extents"}
    tree["disks"][0]["layout"]["partitions"] = [partition]
    tree["source"] = {"path": STEERING, "format": STEERING, "machine": STEERING}
    tree["made_by"] = STEERING
    manifest = parse_manifest(canonical.encode(tree))
    assert parse_manifest(encode_manifest(manifest)) == manifest
    assert all(line.isprintable() for line in image_lines(manifest))


@settings(max_examples=150)
@given(st.data())
def test_an_index_that_lies_under_the_right_digest(whole: Path, data: st.DataObject) -> None:
    """Damage is told by the digest; this is what a writer of malice can do."""
    index = bytearray((whole / INDEX_FILE).read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(index) - 1), min_size=1, max_size=4)):
        index[place] = data.draw(st.integers(0, 255))
    tree = tree_of(whole)
    tree["index"]["digest"] = digest(bytes(index)).hex()
    used(whole, canonical.encode(tree), bytes(index))


@pytest.fixture(scope="module")
def based() -> Iterator[Path]:
    """An image that borrows from another one beside it."""
    with tempfile.TemporaryDirectory() as folder:
        yield two_images(Path(folder))[1]


def borrowed(based: Path, tree: dict[str, Any]) -> None:
    """Read ``based`` with another manifest beside its lender: well, or BadImage."""
    with tempfile.TemporaryDirectory() as folder:
        store = shutil.copytree(based.parent, Path(folder) / "store")
        (store / based.name / MANIFEST_FILE).write_bytes(canonical.encode(tree))
        bounded(lambda: list_images(store))
        bounded(lambda: _read_or_bad(store / based.name))


def _read_or_bad(path: Path) -> None:
    try:
        with Image.open(path) as image:
            borrowing_lines(image)
            verify_image(image)
    except BadImage:
        pass


def lending_of(tree: dict[str, Any]) -> list[Any]:
    return [tree["lenders"], *(p["pieces"] for p in tree["packs"] if "pieces" in p)]


@settings(max_examples=150)
@given(st.data())
def test_any_number_of_what_is_borrowed_may_be_another(based: Path, data: st.DataObject) -> None:
    tree = tree_of(based)
    places = [*_numbers(lending_of(tree)), *_numbers(tree["packs"])]
    for parent, key in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        near = st.integers(max(0, parent[key] - 3), parent[key] + 3)
        parent[key] = data.draw(HUGE | near | st.integers(0, 4 * MIB))
    borrowed(based, tree)


NAMES = ["..", ".", "../store/base", "base/", "/etc", "", "\0", "next", "none", "b" * 101, "base.fcast"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_lender(based: Path, name: str) -> None:
    """Nothing outside of the store, no image itself, none that is not there."""
    tree = tree_of(based)
    tree["lenders"][0]["name"] = name
    with pytest.raises(BadImage):
        _open_with(based, tree)
    borrowed(based, tree)


def _open_with(based: Path, tree: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = shutil.copytree(based.parent, Path(folder) / "store")
        (store / based.name / MANIFEST_FILE).write_bytes(canonical.encode(tree))
        Image.open(store / based.name).close()


def test_images_that_borrow_from_each_other_end(based: Path) -> None:
    """No lender's own lenders are asked: a circle is none."""
    with tempfile.TemporaryDirectory() as folder:
        store = shutil.copytree(based.parent, Path(folder) / "store")
        tree, other = tree_of(store / "next.fcast"), tree_of(store / "base.fcast")
        other["version"] = 2
        other["lenders"] = [{"name": "next", "index": tree["index"]}]
        size = other["packs"][0]["size"]
        other["packs"][0]["pieces"] = [[0, 0, 0, size]]
        (store / "base.fcast" / MANIFEST_FILE).write_bytes(canonical.encode(other))
        for name in ("base.fcast", "next.fcast"):
            bounded(lambda name=name: _read_or_bad(store / name))  # type: ignore[misc]
        bounded(lambda: list_images(store))
        (store / "base.fcast/pack-0000").unlink()
        for name in ("base.fcast", "next.fcast"):
            with pytest.raises(BadImage):
                Image.open(store / name)


@settings(max_examples=60)
@given(st.integers(0, 1 << 30), st.integers(1, 255))
def test_whatever_byte_of_the_lender_changes_nothing_wrong_is_read(
    based: Path, place: int, mask: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = shutil.copytree(based.parent, Path(folder) / "store")
        for name in (INDEX_FILE, "pack-0000"):
            path = store / "base.fcast" / name
            data = bytearray(path.read_bytes())
            data[place % len(data)] ^= mask
            path.write_bytes(data)
        with pytest.raises(BadImage):
            Image.open(store / based.name).close()
        shutil.copy(based.parent / "base.fcast" / INDEX_FILE, store / "base.fcast")
        with Image.open(store / based.name) as image, Image.open(based) as good:
            for chunk in range(len(image.index)):
                try:
                    content = bytes(image.content(chunk))
                except BadImage:
                    continue
                assert content == bytes(good.content(chunk))
