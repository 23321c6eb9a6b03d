"""Images made on the base of others: read, refused, copied whole, deleted."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.borrowers import borrowers, kept
from castcore.edge.image.copying import Copied, copy_image
from castcore.edge.image.deleting import delete_image
from castcore.edge.image.diskview import ChunkCache, DiskView
from castcore.edge.image.imagefile import Image, ProvenSource
from castcore.edge.image.imagewriter import write_all
from castcore.edge.image.partial import Partial
from castcore.edge.image.restore import restore
from castcore.edge.image.signing import sign_image
from castcore.edge.image.store import holdings, list_images
from castcore.edge.image.storedcheck import check_stored
from castcore.edge.image.verify import verify_image
from castcore.errors import BadImage, DiskFailed, InUse, NoSpace, NotFound, Refused
from castcore.image import ChunkKind, borrowings, pack_name
from castcore.trust import SigningKey, digest
from castcore.units import KIB, MIB
from castserver.images.library import Library

from tests.golden.independent import read_image
from tests.support.basedimages import IN_USE, SIZE, based_image, changed, first_disk, two_images
from tests.support.images import flip


@pytest.fixture
def store(tmp_path: Path) -> Path:
    two_images(tmp_path)
    return tmp_path


def restored(path: Path, target: Path) -> bytes:
    target.write_bytes(b"\xaa" * SIZE)
    with Image.open(path) as image, BlockFile.open_target(target) as disk:
        restore(image, [disk], verify=True)
    return target.read_bytes()


def expected(raw: Path) -> bytes:
    whole = bytearray(b"\xaa" * SIZE)
    for extent in IN_USE:
        whole[extent.start : extent.end] = raw.read_bytes()[extent.start : extent.end]
    return bytes(whole)


def files(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in path.iterdir()}


def owner(path: Path) -> dict[str, int]:
    with Image.open(path) as image:
        found = borrowings(image.manifest, image.index, image.borrowed)
    return {b.lender: b.chunks for b in found}


def test_only_what_the_base_does_not_hold_is_stored(store: Path) -> None:
    with Image.open(store / "next.fcast") as image:
        assert image.manifest.stored == 2 * MIB
        there = [(image.path / pack_name(n)).exists() for n in range(len(image.manifest.packs))]
        assert sorted(there) == [False, True]
        (found,) = borrowings(image.manifest, image.index, image.borrowed)
        # Noise, text, a chunk that is there twice, the tail.
        assert (found.lender, found.chunks) == ("base", 5)
        assert found.bytes == sum(pack.size for pack in image.borrowed) > 2 * MIB
        assert verify_image(image).chunks == 8
    assert restored(store / "next.fcast", store / "target") == expected(store / "disk.raw")


def test_every_reader_reads_it(store: Path) -> None:
    _, chunks = read_image(store / "next.fcast")
    with Image.open(store / "next.fcast") as image:
        assert [c.content for c in chunks] == [bytes(image.content(n)) for n in range(len(chunks))]
        source = ProvenSource(image)
        stored = [source.read_stored(n) for n in range(len(chunks))]
        assert [len(one) for one in stored] == source.stored_lengths()
        view = DiskView(image, 0, ChunkCache(image))
        assert view.read(MIB, 4 * MIB) == (store / "disk.raw").read_bytes()[MIB : 5 * MIB]


def test_a_cast_reads_it_from_the_library(store: Path) -> None:
    opened = Library(store).open("next")
    with Image.open(store / "next.fcast") as image:
        assert [opened.read_stored(n) for n in range(8)] == [image.read_stored(n) for n in range(8)]
    opened.close()


def test_an_unchanged_disk_is_borrowed_whole(store: Path) -> None:
    path = based_image(store, "same", store / "disk.raw", ["next"])
    with Image.open(path) as image:
        assert image.manifest.stored == 0
    assert restored(path, store / "target") == expected(store / "disk.raw")


def test_chains_stay_flat(store: Path) -> None:
    raw = changed(store / "disk.raw", 4 * MIB)
    path = based_image(store, "third", raw, ["next"])
    assert owner(path) == {"base": 4, "next": 2}
    assert owner(based_image(store, "fourth", raw, ["third"])) == {"base": 4, "next": 2, "third": 1}
    shutil.rmtree(store / "third.fcast")
    assert restored(based_image(store, "fifth", raw, ["base", "next"]), store / "target") == expected(
        raw
    )
    with pytest.raises(BadImage, match="third, which is not in"):
        Image.open(store / "fourth.fcast")


def test_the_first_base_that_has_it_lends(store: Path) -> None:
    assert owner(based_image(store, "one", store / "disk.raw", ["next", "base"])) == {
        "base": 5,
        "next": 2,
    }
    assert owner(based_image(store, "two", store / "disk.raw", ["base", "next"])) == {
        "base": 5,
        "next": 2,
    }


def test_a_damaged_base_is_not_borrowed_from(store: Path) -> None:
    flip(store / "base.fcast/pack-0000", 100)
    with pytest.raises(BadImage, match=r"base\.fcast: pack-0000 is damaged at byte 0: chunk 0"):
        based_image(store, "third", store / "disk.raw", ["base"])
    assert [i.name for i in list_images(store)] == ["base", "next"]


def test_what_is_borrowed_has_stored_digests_too(store: Path) -> None:
    with Image.open(store / "next.fcast") as image:
        digests = image.stored_digests()
        assert digests is not None
        for chunk in image.index.chunks_of_kind(ChunkKind.DATA):
            assert digests[chunk] == digest(image.read_stored(chunk))
        check_stored(image)


@pytest.mark.parametrize("prove", [verify_image, check_stored])
def test_damage_of_what_is_borrowed_names_its_owner(
    store: Path, prove: Callable[[Image], object]
) -> None:
    flip(store / "base.fcast/pack-0000", 100)
    with Image.open(store / "next.fcast") as image, pytest.raises(BadImage) as caught:
        prove(image)
    assert f"{store}/base.fcast/pack-0000, which it borrows from, is damaged at byte 0" in str(
        caught.value
    )


def test_a_base_is_of_the_same_store_and_another_image(store: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(Refused, match="in another store"):
        based_image(tmp_path / "other", "x", store / "disk.raw", ["../next"])
    with pytest.raises(Refused, match="the image that it replaces"):
        based_image(store, "next", store / "disk.raw", ["next"], replace=True)
    with pytest.raises(NotFound, match="no such image"):
        based_image(store, "x", store / "disk.raw", ["none"])


def replace_base(store: Path) -> None:
    shutil.rmtree(store / "base.fcast")
    based_image(store, "base", store / "disk.raw", [])


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1])


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda s: shutil.rmtree(s / "base.fcast"), "borrows from image base, which is not in"),
        (replace_base, "base, but another image has that name now"),
        (lambda s: (s / "base.fcast/index").unlink(), "base, but another image"),
        (lambda s: flip(s / "base.fcast/index", 100), "base, but another image"),
        (lambda s: (s / "base.fcast/pack-0000").unlink(), "pack-0000 is missing"),
        (lambda s: cut(s / "base.fcast/pack-0000"), "base.fcast/pack-0000, which has"),
    ],
)
def test_a_lender_that_is_not_what_it_was_is_noticed(
    store: Path, harm: Callable[[Path], object], says: str
) -> None:
    harm(store)
    with pytest.raises(BadImage, match=says) as caught:
        Image.open(store / "next.fcast")
    assert caught.value.hint


def test_an_image_that_borrows_from_itself_is_none(store: Path) -> None:
    shutil.rmtree(store / "base.fcast")
    (store / "next.fcast").rename(store / "base.fcast")
    with pytest.raises(BadImage, match="borrows from itself"):
        Image.open(store / "base.fcast")


def test_the_list_tells_who_misses_whom(store: Path) -> None:
    assert [i.problem for i in list_images(store)] == ["", ""]
    held = holdings(store / "next.fcast", list_images(store)[1].manifest)  # type: ignore[arg-type]
    assert (held.stored, held.lenders) == (2 * MIB, ("base",))
    shutil.rmtree(store / "base.fcast")
    assert list_images(store)[0].problem == "borrows from base, which is not there"


def test_what_others_borrow_from_is_neither_deleted_nor_replaced(store: Path) -> None:
    before = files(store / "base.fcast")
    with pytest.raises(InUse, match="is borrowed from by next"):
        delete_image(store / "base.fcast")
    with pytest.raises(InUse, match="is borrowed from by next"):
        based_image(store, "base", store / "disk.raw", [], replace=True)
    # Whoever asked before it was borrowed from is refused when it publishes.
    with Partial(store, "base") as partial, pytest.raises(InUse, match="borrowed from by next"):
        partial.publish(store / "base.fcast", replace=True)
    assert files(store / "base.fcast") == before
    delete_image(store / "next.fcast")
    assert delete_image(store / "base.fcast") == sum(map(len, before.values()))
    assert list_images(store) == ()
    assert [p.name for p in store.iterdir()] == ["disk.raw"]


def test_what_is_being_captured_on_is_kept(store: Path) -> None:
    delete_image(store / "next.fcast")
    with kept(store / "base.fcast"), kept(store / "base.fcast"), pytest.raises(InUse, match="right now"):
        delete_image(store / "base.fcast")
    with pytest.raises(NotFound), kept(store / "none.fcast"):
        pass
    delete_image(store / "base.fcast")


def test_an_image_that_cannot_be_read_may_borrow(store: Path) -> None:
    (store / "next.fcast/manifest.json").write_bytes(b"{}")
    found = borrowers(store / "base.fcast")
    assert (found.names, found.unknown) == ((), ("next.fcast",))
    before = files(store / "base.fcast")
    with pytest.raises(Refused, match=r"next\.fcast cannot be read, and may borrow"):
        based_image(store, "base", store / "disk.raw", [], replace=True)
    # Whoever asked before it was damaged is refused when it publishes.
    with Partial(store, "base") as partial, pytest.raises(Refused, match="may borrow"):
        partial.publish(store / "base.fcast", replace=True)
    assert files(store / "base.fcast") == before
    delete_image(store / "next.fcast")  # a damaged one can be deleted
    based_image(store, "base", store / "disk.raw", [], replace=True)


def test_only_images_are_deleted(store: Path) -> None:
    (store / "link.fcast").symlink_to("next.fcast")
    (store / "papers.fcast").mkdir()
    for name, kind in (("link", Refused), ("papers", Refused), ("none", NotFound)):
        with pytest.raises(kind):
            delete_image(store / f"{name}.fcast")
    assert (store / "next.fcast/index").exists()


def test_a_link_is_no_base(store: Path) -> None:
    (store / "link.fcast").symlink_to("next.fcast")
    with pytest.raises(Refused, match=r"link\.fcast is a link, not an image"):
        based_image(store, "third", store / "disk.raw", ["link"])
    assert not (store / "third.fcast").exists()


def test_a_full_store_is_no_hindrance_to_deleting(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.mkdir", full)
        with pytest.raises(NoSpace):
            Partial(store, "next")
        delete_image(store / "next.fcast")
    assert sorted(p.name for p in store.iterdir()) == ["base.fcast", "disk.raw"]


def test_a_delete_that_was_killed_is_finished_by_the_next_writer(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("castcore.edge.image.partial.shutil.rmtree", lambda *_, **__: None)
        delete_image(store / "next.fcast")
    assert [i.name for i in list_images(store)] == ["base"]
    assert len([p for p in store.iterdir() if p.name.startswith(".next.fcast.partial-")]) == 1
    based_image(store, "third", store / "disk.raw", ["base"])
    assert sorted(p.name for p in store.iterdir()) == ["base.fcast", "disk.raw", "third.fcast"]


def test_a_copy_is_the_same_image_and_needs_no_other(store: Path, tmp_path: Path) -> None:
    key = SigningKey(bytes(range(32)))
    with Image.open(store / "next.fcast") as image:
        sign_image(image, key)
    stick = tmp_path / "stick"
    stick.mkdir()
    with Image.open(store / "next.fcast") as image:
        copied = copy_image(image, stick / "next.fcast")
        assert copied == Copied(sum(image.manifest.packs), image.borrowed[0].size)
    old, new = files(store / "next.fcast"), files(stick / "next.fcast")
    assert {name: new[name] for name in old} == old
    assert set(new) - set(old) == {pack_name(image.borrowed[0].number)}
    with Image.open(stick / "next.fcast") as whole:
        assert whole.signed_by == key.public
        assert whole.borrowed == ()
        assert borrowings(whole.manifest, whole.index, whole.borrowed) == ()
        held = holdings(whole.path, whole.manifest)
        assert (held.stored, held.borrowed, held.lenders) == (copied.bytes, 0, ())
        verify_image(whole)
    read_image(stick / "next.fcast")
    assert restored(stick / "next.fcast", store / "target") == expected(store / "disk.raw")


def test_a_copy_lends_what_it_has(store: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    with Image.open(store / "next.fcast") as image:
        copy_image(image, stick / "next.fcast")
    assert owner(based_image(stick, "third", store / "disk.raw", ["next"])) == {"next": 7}
    assert borrowers(stick / "next.fcast").names == ("third",)


def test_a_copy_in_the_same_store_frees_the_base(store: Path) -> None:
    with Image.open(store / "next.fcast") as image:
        copy_image(image, store / "whole.fcast")
    delete_image(store / "next.fcast")
    delete_image(store / "base.fcast")
    assert restored(store / "whole.fcast", store / "target") == expected(store / "disk.raw")


def test_a_damaged_image_is_not_copied(store: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    flip(store / "base.fcast/pack-0000", 100)
    with (
        Image.open(store / "next.fcast") as image,
        pytest.raises(BadImage, match=r"base\.fcast/pack-0000, which it borrows from"),
    ):
        copy_image(image, stick / "next.fcast")
    assert list(stick.iterdir()) == []


def test_a_medium_that_does_not_keep_what_is_written_is_told(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(handle: int, data: bytes) -> None:
        write_all(handle, data[:-1] + bytes([data[-1] ^ 1]))

    monkeypatch.setattr("castcore.edge.image.copying.write_all", forgetful)
    (tmp_path / "stick").mkdir()
    with (
        Image.open(store / "next.fcast") as image,
        pytest.raises(DiskFailed, match="does not read as written"),
    ):
        copy_image(image, tmp_path / "stick/next.fcast")
    assert list((tmp_path / "stick").iterdir()) == []


def test_a_copy_that_has_no_room_is_not_begun(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("castcore.edge.image.copying.free_space", lambda _: 5 * KIB)
    (tmp_path / "stick").mkdir()
    with (
        Image.open(store / "next.fcast") as image,
        pytest.raises(NoSpace, match=r"5\.0 KiB free of .* the copy needs"),
    ):
        copy_image(image, tmp_path / "stick/next.fcast")
    assert list((tmp_path / "stick").iterdir()) == []


def test_a_name_that_is_taken_there_is_refused_or_replaced(store: Path, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    path = based_image(tmp_path / "stick", "next", first_disk(tmp_path / "old.raw"), [])
    with Image.open(store / "next.fcast") as image:
        with pytest.raises(Refused, match="exists already"):
            copy_image(image, path)
        copy_image(image, path, replace=True)
    with Image.open(path) as image:
        assert image.manifest.borrowed
        assert image.borrowed == ()  # it names them still, and needs none
