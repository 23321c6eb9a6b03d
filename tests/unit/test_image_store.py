"""A store: names, complete-or-absent directories, and what killed writers leave."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from castcore.disk import DiskLayout, Extent, TableType
from castcore.edge.disk.directio import DirectFile
from castcore.edge.image.imagewriter import ImageWriter
from castcore.edge.image.packfile import STEP, PackFile
from castcore.edge.image.partial import Partial, remove_stale
from castcore.edge.image.store import image_path, list_images
from castcore.errors import NoSpace, NotFound, Refused
from castcore.image import ChunkKind, ChunkRecord, Codec, ImageDisk, Manifest
from castcore.trust import digest
from castcore.units import KIB, MIB

from tests.support.images import blank, make_image, noise


def test_image_is_a_name_in_the_store_or_a_path() -> None:
    home = Path("/srv/images")
    assert image_path("win11", home) == home / "win11.fcast"
    assert image_path("win11.fcast", home) == Path("win11.fcast")
    assert image_path("./win11", home) == Path("win11.fcast")
    assert image_path("/mnt/stick/win11.fcast", home) == Path("/mnt/stick/win11.fcast")


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "x" * 101, "/", "a\nb", "-x"])
def test_what_cannot_be_a_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        image_path(name, tmp_path)


def publish(home: Path, name: str, content: bytes, *, replace: bool = False) -> None:
    with Partial(home, name) as partial:
        (partial.path / "manifest.json").write_bytes(content)
        partial.publish(home / f"{name}.fcast", replace=replace)


def test_published_is_complete_and_nothing_else_is_left(tmp_path: Path) -> None:
    publish(tmp_path, "one", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["one.fcast"]
    assert (tmp_path / "one.fcast").stat().st_mode & 0o777 == 0o755


def test_what_is_not_published_vanishes(tmp_path: Path) -> None:
    with Partial(tmp_path, "one") as partial:
        (partial.path / "pack-0000").write_bytes(b"half")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused_and_kept(tmp_path: Path) -> None:
    publish(tmp_path, "one", b"old")
    with pytest.raises(Refused, match="exists already"):
        publish(tmp_path, "one", b"new")
    assert (tmp_path / "one.fcast/manifest.json").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_replace_swaps_at_once(tmp_path: Path) -> None:
    publish(tmp_path, "one", b"old")
    publish(tmp_path, "one", b"new", replace=True)
    assert (tmp_path / "one.fcast/manifest.json").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def refuse_exchange(*_: object) -> int:
    ctypes.set_errno(errno.EINVAL)
    return -1


def test_replace_where_names_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libc = SimpleNamespace(renameat2=refuse_exchange)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
    publish(tmp_path, "one", b"old")
    publish(tmp_path, "one", b"new", replace=True)
    assert (tmp_path / "one.fcast/manifest.json").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_old_image_parked_by_a_killed_replace_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".one.fcast.replaced").mkdir()
    remove_stale(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["one.fcast"]
    (tmp_path / ".one.fcast.replaced").mkdir()
    remove_stale(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["one.fcast"]


def test_only_our_own_stale_directories_are_removed(tmp_path: Path) -> None:
    stale = tmp_path / ".one.fcast.partial-abcd_123"
    others = [".one.fcast.partial-", ".git", "two.fcast", ".one.partial-abcd_123", "x.partial-abcd_123"]
    for name in (stale.name, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x")
    remove_stale(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(others)


def test_what_is_being_written_is_left_alone(tmp_path: Path) -> None:
    with Partial(tmp_path, "one") as partial:
        remove_stale(tmp_path)
        assert partial.path.is_dir()


def test_a_link_named_like_a_partial_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_bytes(b"x")
    (tmp_path / ".one.fcast.partial-abcd_123").symlink_to("precious")
    remove_stale(tmp_path)
    assert (tmp_path / "precious/file").exists()


def test_the_writer_waits_out_a_remover_and_takes_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    taken: list[str] = []

    def robbed(handle: int, how: int) -> None:
        if not taken:
            taken.append(os.readlink(f"/proc/self/fd/{handle}"))
            os.rmdir(taken[0])
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", robbed)
    with Partial(tmp_path, "one") as partial:
        assert partial.path.is_dir()
        assert str(partial.path) != taken[0]


def test_list_shows_complete_images_and_names_what_is_none(tmp_path: Path) -> None:
    make_image(tmp_path, "good", blank(tmp_path / "disk.raw", 4096), (Extent(0, 512),))
    (tmp_path / "empty.fcast").mkdir()
    (tmp_path / ".half.fcast.partial-abcd_123").mkdir()
    (tmp_path / "file.fcast").write_bytes(b"x")
    found = list_images(tmp_path)
    assert [i.name for i in found] == ["empty", "good"]
    assert found[0].manifest is None
    assert "manifest.json" in found[0].problem
    assert found[1].manifest is not None
    with pytest.raises(NotFound):
        list_images(tmp_path / "nowhere")


def record(content: bytes, offset: int) -> ChunkRecord:
    return ChunkRecord(0, offset, len(content), ChunkKind.DATA, digest(content), codec=Codec.RAW)


def test_packs_end_at_their_limit_and_equal_contents_are_stored_once(tmp_path: Path) -> None:
    a, b, c = b"a" * MIB, b"b" * MIB, b"c" * (400 * KIB)
    size = 3 * MIB + len(c)
    disk = ImageDisk(DiskLayout(size, 512, TableType.NONE), (Extent(0, size),))
    with ImageWriter(tmp_path, pack_limit=3 * MIB // 2) as writer:
        for n, content in enumerate((a, b, a, c)):
            writer.add(record(content, n * MIB), content)
        assert writer.holds(digest(a))
        assert writer.stored == 2 * MIB + len(c)
        writer.finish(Manifest("packs", 1, (disk,), b"", 0, ()))
    assert (tmp_path / "pack-0000").read_bytes() == a
    assert (tmp_path / "pack-0001").read_bytes() == b + c


def test_a_full_disk_says_so_with_both_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with ImageWriter(tmp_path) as writer, monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(NoSpace, match=r"is full: .* free of "):
            writer.add(record(b"x" * STEP, 0), b"x" * STEP)


@pytest.mark.parametrize("direct", [True, False])
def test_a_pack_holds_what_was_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    if not direct:
        monkeypatch.setattr(DirectFile, "open", lambda _: None)
    pieces = [noise(length, length) for length in (1, 4096, STEP - 5000, 3 * STEP + 7, 0, 700)]
    with PackFile(tmp_path / "pack") as pack:
        places = [pack.append(piece) for piece in pieces]
        assert pack.size == sum(map(len, pieces))
        pack.finish()
    assert places == [sum(map(len, pieces[:n])) for n in range(len(pieces))]
    assert (tmp_path / "pack").read_bytes() == b"".join(pieces)


def test_a_pack_that_is_written_by_and_by_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:8192], at))
    with PackFile(tmp_path / "pack") as pack:
        pack.append(noise(STEP + 100, 1))
        pack.finish()
    assert (tmp_path / "pack").read_bytes() == noise(STEP + 100, 1)
