"""FORMAT.md is enough to write another reader: one that was reads what ours writes, to the byte."""

from __future__ import annotations

import ast
import random
import shutil
from pathlib import Path

import pytest
from castcore.disk import Extent, TableType
from castcore.units import KIB, MIB

from tests.golden import independent
from tests.golden.independent import NotAnImage, read_image, restore
from tests.golden.test_image_golden import SIZE, TINY, contents
from tests.support.images import blank, gpt_disk, make_image, noise, write_at


def test_it_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(independent.__file__).read_text())
    names = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not {name for name in names if name.startswith(("cast", "tests"))}


def test_it_reads_the_golden_image() -> None:
    manifest, chunks = read_image(TINY)
    assert [chunk.content for chunk in chunks] == contents()
    assert manifest["name"] == "tiny"
    disk = bytearray(b"\xaa" * SIZE)
    restore(manifest, chunks, 0, disk)
    assert disk[: 17 * 4096] == b"Fleetcast casts. " * 4096
    assert disk[MIB : MIB + 8192] == bytes(8192)
    assert disk[MIB + 8192 : 3 * MIB] == b"\xaa" * (2 * MIB - 8192)


def test_it_restores_a_whole_disk_with_its_backup_table(tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    partition, in_use = gpt_disk(raw, 4 * MIB)
    path = make_image(tmp_path, "gpt", raw, in_use, table=TableType.GPT, partitions=(partition,))
    disk = bytearray(4 * MIB)
    restore(*read_image(path), 0, disk)
    assert disk == raw.read_bytes()


@pytest.mark.parametrize("seed", range(20))
def test_it_reads_whatever_is_in_use(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    size = rng.randrange(1, 20) * 512 * KIB + 512
    raw = blank(tmp_path / "disk.raw", size)
    for _ in range(rng.randrange(6)):
        at = rng.randrange(size)
        write_at(raw, at, noise(min(size - at, rng.choice((1, 700, 300_000))), at))
    edges = sorted(rng.sample(range(size // 512 + 1), 2 * rng.randrange(1, 6)))
    in_use = tuple(Extent(a * 512, (b - a) * 512) for a, b in zip(edges[::2], edges[1::2], strict=True))
    disk = bytearray(b"\xaa" * size)
    restore(*read_image(make_image(tmp_path, "any", raw, in_use)), 0, disk)
    source, expected = raw.read_bytes(), bytearray(b"\xaa" * size)
    for extent in in_use:
        expected[extent.start : extent.end] = source[extent.start : extent.end]
    assert disk == expected


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "index", "pack-0000"])
def test_it_refuses_what_was_changed(tmp_path: Path, name: str) -> None:
    whole = (TINY / name).read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        copy = shutil.copytree(TINY, tmp_path / f"{place}.fcast")
        data = bytearray(whole)
        data[place] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises((NotAnImage, KeyError, ValueError, TypeError)):
            read_image(copy)
