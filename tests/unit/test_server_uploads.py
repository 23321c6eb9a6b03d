"""Uploads to a server's library: whole or absent, gone on with, bounded, each machine's its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zstandard
from castcore.edge.image.imagefile import Image
from castcore.edge.image.takein import take_in
from castcore.edge.image.verify import verify_image
from castcore.edge.net.pinned import Rejected
from castcore.edge.upload import uploader
from castcore.edge.upload.uploader import uploading
from castcore.errors import NetworkFailed, NoSpace, Refused
from castcore.image import Codec, zero_digest
from castcore.trust import digest
from castcore.units import MIB
from castcore.upload import CONTENTS_LIMIT, NewUpload, StoredContent, encode_contents
from castserver.images import uploads, uploadstore

from tests.support.images import blank, noise, write_at
from tests.support.serverlab import FakeClient, ServerLab
from tests.support.uploadlab import SIZE, LabHttps, plan_of, upload


@pytest.fixture
def lab(tmp_path: Path) -> ServerLab:
    store = tmp_path / "images"
    store.mkdir()
    return ServerLab(store=store)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return disk(tmp_path / "disk.raw", 1)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploader, "RETRY_SECONDS", 0.0)


def disk(path: Path, seed: int) -> Path:
    """Noise, a part that compresses, a part twice, zeros."""
    blank(path, SIZE)
    write_at(path, 0, noise(MIB, seed))
    write_at(path, MIB, b"text " * 100_000)
    write_at(path, 4 * MIB + 4096, noise(MIB, 100 + seed))
    return path


def machine(lab: ServerLab, number: int) -> LabHttps:
    return LabHttps(FakeClient(lab, number).register())


def images(lab: ServerLab) -> list[str]:
    return sorted(p.name for p in lab.store.iterdir() if p.name[0] != ".")


def leftovers(lab: ServerLab) -> list[str]:
    return sorted(p.name for p in lab.store.iterdir() if p.name[0] == ".")


def test_an_uploaded_image_holds_the_disk(lab: ServerLab, raw: Path) -> None:
    done = upload(machine(lab, 1), raw, "office")
    assert images(lab) == [f"{done.name}.fcast"]
    with Image.open(lab.store / f"{done.name}.fcast") as image:
        assert image.manifest.index_digest == done.index_digest
        assert image.manifest.name == done.name
        verify_image(image)
        for number, record in enumerate(image.index.records):
            content = raw.read_bytes()[record.offset : record.offset + record.length]
            if record.offset != 4 * MIB and record.offset != 7 * MIB:  # half of these is not in use
                assert image.content(number) == content
        assert sorted(p.name for p in image.path.iterdir()) == [
            "index",
            "manifest.json",
            "pack-0000",
            "stored-digests",
        ]
    assert leftovers(lab) == []


def test_the_name_tells_machines_apart(lab: ServerLab, raw: Path, tmp_path: Path) -> None:
    first = upload(machine(lab, 1), raw, "office")
    second = upload(machine(lab, 2), disk(tmp_path / "other.raw", 2), "office")
    assert first.name == "office-525400000001-8f7d7a3e1c5b4a2f9d3c000000000001"
    assert second.name == "office-525400000002-8f7d7a3e1c5b4a2f9d3c000000000002"
    assert len(images(lab)) == 2
    assert upload(machine(lab, 3), raw, "").name.startswith("Desk-3-5254")


def test_a_name_that_is_a_path_is_refused(lab: ServerLab, raw: Path) -> None:
    for name in ("../up", "/etc/passwd", "a/b", ".hidden", "x" * 60, "\n"):
        with pytest.raises(Refused):
            upload(machine(lab, 1), raw, name)
    assert images(lab) == leftovers(lab) == []


def test_an_image_is_replaced_by_its_own_machine_only(lab: ServerLab, raw: Path, tmp_path: Path) -> None:
    https = machine(lab, 1)
    first = upload(https, raw, "office")
    with pytest.raises(Refused, match="exists already"):
        upload(https, raw, "office")
    changed = disk(tmp_path / "changed.raw", 9)
    second = upload(https, changed, "office", replace=True)
    assert second.name == first.name
    assert second.index_digest != first.index_digest
    # Another machine that says it has the same UUID and MAC, and is not the same by its serial numbers.
    twin = FakeClient(lab, 1, serial="other").register()
    lab.clients.get(twin.id)
    manifest = (lab.store / f"{first.name}.fcast/manifest.json").read_bytes()
    if twin.id != https.client.id:
        with pytest.raises(Refused):
            upload(LabHttps(twin), raw, "office", replace=True)
    assert (lab.store / f"{first.name}.fcast/manifest.json").read_bytes() == manifest


def test_a_lost_link_is_waited_for(lab: ServerLab, raw: Path) -> None:
    https = machine(lab, 1)
    plan = plan_of(raw)
    with uploading(https, NewUpload("office", plan), patience=60) as sink:
        https.broken = 3
        done = take_in([raw], sink, plan)
    assert images(lab) == [f"{done.name}.fcast"]


def test_what_was_sent_before_a_cut_is_not_sent_again(
    lab: ServerLab, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "BATCH", 4096)  # a content a request
    https = machine(lab, 1)
    https.last_before_cut = 3  # the beginning, and two contents
    with pytest.raises(NetworkFailed):
        upload(https, raw, "office")
    assert images(lab) == []
    assert len(leftovers(lab)) == 1
    https.last_before_cut, https.asked = None, []
    done = upload(https, raw, "office")
    asked = [path.rpartition("/")[2] for path in https.asked]
    assert asked.count("held") == 1
    assert asked.count("chunks") == 2, "of four different contents two were there"
    assert images(lab) == [f"{done.name}.fcast"]
    assert leftovers(lab) == []


def test_an_upload_goes_on_after_the_server_was_restarted(
    lab: ServerLab, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "BATCH", 4096)
    https = machine(lab, 1)
    https.last_before_cut = 3
    with pytest.raises(NetworkFailed):
        upload(https, raw, "office")
    lab.restart()
    https.last_before_cut = None
    https.client.register()
    https.asked = []
    done = upload(https, raw, "office")
    assert [path.rpartition("/")[2] for path in https.asked].count("chunks") == 2
    with Image.open(lab.store / f"{done.name}.fcast") as image:
        verify_image(image)
    assert leftovers(lab) == []


def test_what_a_killed_server_left_half_written_is_sent_again(
    lab: ServerLab, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "BATCH", 4096)
    https = machine(lab, 1)
    https.last_before_cut = 3
    with pytest.raises(NetworkFailed):
        upload(https, raw, "office")
    lab.uploads.close()
    [left] = lab.store.iterdir()
    pack = left / "pack-0000"
    os.truncate(pack, pack.stat().st_size - 1)  # its last content was not written out
    lab.restart()
    https.last_before_cut, https.asked = None, []
    https.client.register()
    done = upload(https, raw, "office")
    assert [path.rpartition("/")[2] for path in https.asked].count("chunks") == 3
    with Image.open(lab.store / f"{done.name}.fcast") as image:
        verify_image(image)


def cut_off(lab: ServerLab, https: LabHttps, raw: Path) -> Path:
    """Send two contents of four, then lose the machine and stop the server; what was left."""
    https.last_before_cut = 3
    with pytest.raises(NetworkFailed):
        upload(https, raw, "office")
    https.last_before_cut, https.asked = None, []
    lab.uploads.close()
    [left] = lab.store.iterdir()
    return left


@pytest.mark.parametrize(("journal", "sent"), [(1.0, 2), (0.0, 4)])
def test_a_pack_that_the_journal_does_not_name_is_in_nobodys_way(
    lab: ServerLab, raw: Path, monkeypatch: pytest.MonkeyPatch, journal: float, sent: int
) -> None:
    monkeypatch.setattr(uploader, "BATCH", 4096)
    https = machine(lab, 1)
    left = cut_off(lab, https, raw)
    (left / "pack-0001").write_bytes(b"begun")
    file = left / uploadstore.JOURNAL_FILE
    os.truncate(file, int(file.stat().st_size * journal))
    lab.restart()
    https.client.register()
    done = upload(https, raw, "office")
    assert [path.rpartition("/")[2] for path in https.asked].count("chunks") == sent
    with Image.open(lab.store / f"{done.name}.fcast") as image:
        verify_image(image)


def test_a_torn_journal_is_cut_off_at_its_last_whole_entry(
    lab: ServerLab, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "BATCH", 4096)
    left = cut_off(lab, machine(lab, 1), raw)
    file = left / uploadstore.JOURNAL_FILE
    whole = file.read_bytes()
    far = bytearray(whole[: uploadstore.ENTRY.size])
    far[8] = 7  # its pack: there was never one before it
    for torn in (whole[:5], bytes(uploadstore.ENTRY.size), bytes(far)):
        file.write_bytes(whole + torn)
        store = uploadstore.UploadStore.adopt(left)
        assert store is not None
        assert len(store.contents()) == 2
        store.leave()
        assert file.read_bytes() == whole
        assert [path.name for path in left.glob("pack-*")] == ["pack-0000"]


def test_nothing_stays_of_an_upload_that_was_given_up(lab: ServerLab, raw: Path) -> None:
    https = machine(lab, 1)

    def give_up() -> None:
        with uploading(https, NewUpload("office", plan_of(raw))):
            assert len(leftovers(lab)) == 1
            raise Refused("enough")

    with pytest.raises(Refused, match="enough"):
        give_up()
    assert images(lab) == leftovers(lab) == []


def test_a_full_library_is_said_before_and_during(
    lab: ServerLab, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploadstore, "free_space", lambda _: MIB)
    with pytest.raises(NoSpace, match=r"is full: 1\.0 MiB free"):
        upload(machine(lab, 1), raw, "office")
    assert leftovers(lab) == []
    free = iter([1 << 40, 1 << 40])
    monkeypatch.setattr(uploadstore, "free_space", lambda _: next(free, 0))
    monkeypatch.setattr(uploader, "BATCH", 4096)
    with pytest.raises(NoSpace, match="is full: 0 B free"):
        upload(machine(lab, 1), raw, "office")
    assert images(lab) == leftovers(lab) == [], "others may need the room"


def begun(https: LabHttps, raw: Path, image: str = "office") -> str:
    body = NewUpload(image, plan_of(raw)).encode()
    return str(https.parsed("", https.post("/api/v1/uploads", body))["upload"])


def test_hostile_contents_are_refused_and_change_nothing(lab: ServerLab, raw: Path) -> None:
    https = machine(lab, 1)
    path = f"/api/v1/uploads/{begun(https, raw)}"
    wrong = StoredContent(7, Codec.RAW, digest(b"another"), b"content")
    bomb = StoredContent(
        MIB, Codec.ZSTD, digest(b"x"), b"\x28\xb5\x2f\xfd\xa0\xff\xff\xff\xff\x00\x00\x00"
    )
    for body in (encode_contents([wrong]), encode_contents([bomb]), b"x", bytes(CONTENTS_LIMIT + 1)):
        with pytest.raises(Rejected):
            https.post(f"{path}/chunks", body)
    for first, body in ((0, b"x"), (1, bytes(32)), (0, bytes(32 * 8))):
        with pytest.raises(Rejected):
            https.post(f"{path}/digests?first={first}", body)
    for body in (b"", b"{}", b'{"unreadable":[[0,512],[]]}', b'{"unreadable":[]}'):
        with pytest.raises(Rejected):
            https.post(f"{path}/commit", body)
    assert https.get(f"{path}/held") == b""
    assert images(lab) == []


def test_an_image_with_a_chunk_missing_is_not_made(lab: ServerLab, raw: Path) -> None:
    https = machine(lab, 1)
    path = f"/api/v1/uploads/{begun(https, raw)}"
    https.post(f"{path}/digests?first=0", bytes(range(32)) * 7)
    said = https.parsed("", https.post(f"{path}/commit", b'{"unreadable":[[]]}'))
    assert said["missing"] == 7
    assert images(lab) == []


def test_a_content_of_another_length_makes_no_image(lab: ServerLab, raw: Path) -> None:
    https = machine(lab, 1)
    path = f"/api/v1/uploads/{begun(https, raw)}"
    short = noise(4096, 3)
    lying = StoredContent(MIB, Codec.RAW, digest(short), short)
    tails = [(noise(300, 4) + bytes(n)) for n in range(60)]
    tries = [(tail, zstandard.compress(tail)) for tail in tails]
    [(whole, frame), *_] = [(tail, frame) for tail, frame in tries if len(frame) == len(tail)]
    for one in (lying, StoredContent(len(whole), Codec.ZSTD, digest(whole), frame)):
        with pytest.raises(Rejected):
            https.post(f"{path}/chunks", encode_contents([one]))
    true = StoredContent(len(short), Codec.RAW, digest(short), short)
    https.post(f"{path}/chunks", encode_contents([true]))
    zeros = zero_digest(MIB)
    https.post(f"{path}/digests?first=0", digest(short) + zeros * 6)
    for _ in range(2):
        with pytest.raises(Rejected, match="a chunk of 1048576 bytes with a content of 4096"):
            https.post(f"{path}/commit", b'{"unreadable":[[]]}')
    assert images(lab) == []
    https.post(f"{path}/digests?first=0", zeros)
    said = https.parsed("", https.post(f"{path}/commit", b'{"unreadable":[[]]}'))
    assert said["missing"] == 0
    with Image.open(lab.store / images(lab)[0]) as image:
        verify_image(image)


def test_uploads_are_their_own_machines_only(lab: ServerLab, raw: Path) -> None:
    mine, other = machine(lab, 1), machine(lab, 2)
    name = begun(mine, raw)
    for path in ("held", "chunks", "digests?first=0", "commit", "abandon"):
        method = "GET" if path == "held" else "POST"
        url = f"/api/v1/uploads/{name}/{path}"
        answer = lab.http.request(method, url, headers=other.client.headers)
        assert answer.status_code == 404
        assert lab.http.request(method, url).status_code == 401
    assert lab.http.post("/api/v1/uploads", content=b"{}").status_code == 401


def small(number: int, count: int) -> bytes:
    """The body of ``count`` contents of a few bytes each, others for each ``number``."""
    made = (f"{number} {n}".encode() for n in range(count))
    return encode_contents([StoredContent(len(c), Codec.RAW, digest(c), c) for c in made])


def test_an_upload_takes_no_more_contents_than_it_has_chunks(lab: ServerLab, raw: Path) -> None:
    https = machine(lab, 1)
    path = f"/api/v1/uploads/{begun(https, raw)}"
    with pytest.raises(Rejected, match="more contents than an image of 7 chunks"):
        https.post(f"{path}/chunks", small(0, 8))
    for _ in range(2):  # again they are no more
        https.post(f"{path}/chunks", small(0, 7))
    with pytest.raises(Rejected):
        https.post(f"{path}/chunks", small(1, 1))
    path = f"/api/v1/uploads/{begun(https, raw)}"  # the disk may have changed since
    https.post(f"{path}/chunks", small(1, 7))
    with pytest.raises(Rejected):
        https.post(f"{path}/chunks", small(2, 1))
    held = []
    for number in range(2, 9):
        path = f"/api/v1/uploads/{begun(https, raw)}"
        https.post(f"{path}/chunks", small(number, 7))
        held.append(len(https.get(f"{path}/held")) // 32)
    assert max(held) == 21, "not begun again and again either"
    assert len(leftovers(lab)) == 1


def test_there_are_bounds_for_one_machine_and_for_all(
    lab: ServerLab, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = machine(lab, 1)
    for number in range(uploads.MOST_OF_ONE):
        begun(mine, raw, f"image{number}")
    with pytest.raises(Refused, match="uploads 2 images already"):
        begun(mine, raw, "more")
    begun(mine, raw, "image0")  # it goes on with what it had
    monkeypatch.setattr(uploads, "MOST_UPLOADS", 2)
    with pytest.raises(NetworkFailed, match="as many as there may be"):
        begun(machine(lab, 2), raw)
    monkeypatch.setattr(uploads, "MOST_CHUNKS", 6)
    with pytest.raises(Refused, match="7 chunks"):
        begun(machine(lab, 2), raw)


def test_what_nobody_goes_on_with_is_removed_after_a_day(lab: ServerLab, raw: Path) -> None:
    begun(machine(lab, 1), raw)
    lab.clock.now += uploads.KEPT_SECONDS - 1
    lab.uploads.tick()
    assert len(leftovers(lab)) == 1
    lab.clock.now += 2
    lab.uploads.tick()
    assert leftovers(lab) == []
