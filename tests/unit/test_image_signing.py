"""Images signed by a server's key: made so, signed later, and asked for before a restore."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from castcore.disk import DiskLayout, Extent, TableType
from castcore.edge.image.capture import CaptureOptions, write_image
from castcore.edge.image.imagefile import Image
from castcore.edge.image.signing import require_trusted, server_key, sign_image
from castcore.edge.net.identity import ServerIdentity
from castcore.errors import BadImage, Untrusted
from castcore.image import ImageDisk, parse_manifest
from castcore.trust import SigningKey
from castcore.units import MIB

from tests.support.images import blank, flip, make_image, noise, write_at

OWN, OTHER = SigningKey(bytes(range(32))), SigningKey(bytes(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    raw = blank(tmp_path / "disk.raw", MIB)
    write_at(raw, 0, noise(MIB, 1))
    return make_image(tmp_path, "one", raw, (Extent(0, MIB),))


def test_an_image_is_signed_as_it_is_written(path: Path, tmp_path: Path) -> None:
    plan = parse_manifest((path / "manifest.json").read_bytes())
    layout = DiskLayout(MIB, 512, TableType.NONE)
    plan = replace(plan, disks=(ImageDisk(layout, (Extent(0, MIB),)),), packs=(), chunk_count=0)
    made = tmp_path / "two.fcast"
    made.mkdir()
    write_image([tmp_path / "disk.raw"], made, plan, CaptureOptions(key=OWN))
    with Image.open(made) as image:
        assert image.signed_by == OWN.public
        require_trusted(image, OWN.public)


def test_a_signature_takes_the_place_of_another(path: Path) -> None:
    for key in (OTHER, OWN):
        with Image.open(path) as image:
            sign_image(image, key)
        with Image.open(path) as image:
            assert image.signed_by == key.public
    assert sorted(p.name for p in path.iterdir()) == [
        "index",
        "manifest.json",
        "manifest.sig",
        "pack-0000",
        "stored-digests",
    ]


def test_who_has_no_key_asks_for_no_signature(path: Path) -> None:
    with Image.open(path) as image:
        require_trusted(image, None)


def test_a_server_takes_its_own_images_only(path: Path) -> None:
    with Image.open(path) as image, pytest.raises(Untrusted, match="one is not signed"):
        require_trusted(image, OWN.public)
    with Image.open(path) as image:
        sign_image(image, OTHER)
    with Image.open(path) as image:
        says = f"signed by key {OTHER.public.hex()}, not by this server's {OWN.public.hex()}"
        with pytest.raises(Untrusted, match=says):
            require_trusted(image, OWN.public)


def test_a_manifest_changed_after_it_was_signed_is_no_image(path: Path) -> None:
    with Image.open(path) as image:
        sign_image(image, OWN)
    manifest = path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"name":"one"', b'"name":"two"'))
    with pytest.raises(BadImage, match="changed after it was signed"):
        Image.open(path)
    flip(path / "manifest.sig", 40)
    with pytest.raises(BadImage, match="changed after it was signed"):
        Image.open(path)


def test_the_key_is_the_one_that_the_server_made(tmp_path: Path) -> None:
    assert server_key(tmp_path) is None
    made = ServerIdentity.load_or_make(tmp_path)
    assert server_key(tmp_path) == made.key
    assert ServerIdentity.load_or_make(tmp_path).key == made.key
    (tmp_path / "server.key").write_bytes(b"short")
    with pytest.raises(Untrusted, match="holds 5 bytes"):
        server_key(tmp_path)
