"""Deploy media made, updated in place, cut off at every write; on files and on loop devices."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.imagefile import Image
from castcore.edge.image.verify import verify_image
from castcore.edge.licence.ledgerfile import LedgerFile
from castcore.edge.medium import medium_at, open_medium
from castcore.edge.medium.finding import read_partitions
from castcore.edge.run import run
from castcore.errors import DiskFailed, DoesNotFit, InUse, NoSpace, NotFound, Refused, Untrusted
from castcore.licence import ID_SIZE, issue_licence, open_licence
from castcore.medium import DataFileSystem, MediumKind, least_size, plan_layout
from castcore.units import MIB
from castmedia import deploydata, stick
from castmedia.deploydata import Contents
from castmedia.deploymedia import needed

from tests.block.diskimages import SECONDS, loop
from tests.support.builtmedia import CORE_SECTORS, MadeUpStages, boot_part, builder, made_up_stages
from tests.support.images import blank, make_image, noise, write_at
from tests.support.licences import ISSUER

pytestmark = pytest.mark.root
SIZE = least_size(MediumKind.DEPLOY, data_size=128 * MIB)


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[MadeUpStages]:
    folder = tmp_path / "stages"
    folder.mkdir()
    with made_up_stages(folder) as made:
        yield made


def image(folder: Path, name: str, seed: int = 1) -> Path:
    raw = blank(folder / f"{name}.raw", 4 * MIB)
    write_at(raw, 0, noise(3 * MIB, seed))
    store = folder / f"store-{seed}"
    store.mkdir(exist_ok=True)
    if (store / f"{name}.fcast").exists():
        return store / f"{name}.fcast"
    return make_image(store, name, raw, (Extent(0, 3 * MIB),))


def licence(folder: Path, name: str, count: int = 5) -> Path:
    (folder / name).write_bytes(issue_licence(ISSUER, bytes(ID_SIZE), "*", count))
    return folder / name


def digest_of(path: Path | str, extent: Extent) -> str:
    with BlockFile.open_source(path) as disk:
        return hashlib.blake2b(disk.read(extent.start, extent.length)).hexdigest()


def started(path: Path | str, folder: Path) -> tuple[int, int]:
    """Which versions a BIOS and a UEFI would start from the medium, each followed as they do.

    Fails when either would start something that is not whole.
    """
    with BlockFile.open_source(path) as disk:
        boot_code = disk.read(0, 440)
        core_at = int.from_bytes(boot_code[0x5C:0x64], "little")
        core = disk.read(core_at * 512, CORE_SECTORS * 512)
        _, partitions = read_partitions(disk)
        boot = next(p for p in partitions if p.name == "fleetcast-boot")
    bios = version_of(core)
    assert core == boot_part(folder, bios).bios.core_at(core_at)
    # Its first 0x5c bytes are of one version whichever slot it names.
    assert boot_code == boot_part(folder, bios).bios.boot_code(core_at)
    return bios, uefi_version(path, boot.start, folder)


def uefi_version(path: Path | str, at: int, folder: Path) -> int:
    drive = f"{path}@@{at}"
    found = version_of(run(["mtype", "-i", drive, "::/boot/grub/grub.cfg"], timeout=SECONDS))
    for name, content in boot_part(folder, found).files.items():
        assert run(["mtype", "-i", drive, f"::/{name}"], timeout=SECONDS) == content
    return found


def version_of(data: bytes) -> int:
    mark = re.search(rb"version (\d+)", data)
    assert mark is not None
    return int(mark[1])


@pytest.mark.parametrize("filesystem", list(DataFileSystem))
def test_a_new_medium_has_all_its_parts(
    tmp_path: Path, stages: MadeUpStages, filesystem: DataFileSystem
) -> None:
    output = tmp_path / "medium.img"
    contents = Contents(
        (image(tmp_path, "office"), image(tmp_path, "lab", 2)), (licence(tmp_path, "a.lic"),)
    )
    built = builder(contents, name="Room 12", filesystem=filesystem).file(output, SIZE)
    assert (built.new, built.images, built.info.name) == (True, ("office", "lab"), "Room 12")
    assert "No problems found" in run(["sgdisk", "-v", str(output)], timeout=SECONDS).decode()
    assert started(output, stages.folder) == (1, 1)
    with open_medium(output) as opened:
        assert opened.info == built.info
        assert opened.serial == built.serial
        for name in ("office", "lab"):
            with Image.open(opened.images / f"{name}.fcast") as copy:
                verify_image(copy)
        assert open_licence((opened.licences / "a.lic").read_bytes()).count == 5
        assert (opened.pxe_tree / "tree.json").is_file()
        with LedgerFile(Path(opened.ledger.path), *opened.ledger[1:], opened.serial) as ledger:
            assert ledger.ledger is not None
    assert list(tmp_path.glob(".*")) == []


def test_made_again_it_keeps_images_data_and_ledger(tmp_path: Path, stages: MadeUpStages) -> None:
    output = tmp_path / "medium.img"
    first = builder(Contents((image(tmp_path, "office"),))).file(output, SIZE)
    with open_medium(output, writable=True) as opened:
        (opened.root / "notes.txt").write_text("by hand")
        ledger = Extent(*opened.ledger[1:])
    before = digest_of(output, ledger)
    slots = plan_layout(SIZE, 512, MediumKind.DEPLOY).boot_slots
    for version in (2, 3):
        stages.version = version
        contents = Contents((image(tmp_path, "office"), image(tmp_path, f"lab{version}", version)))
        again = builder(contents).file(output, None)
        assert (again.new, again.boot, again.info, again.images) == (
            False,
            True,
            first.info,
            (f"lab{version}",),
        )
        assert started(output, stages.folder) == (version, version)
        found = medium_at(output)
        assert found is not None
        assert found.parts.boot.extent == slots[(version - 1) % 2]
        assert "No problems found" in run(["sgdisk", "-v", str(output)], timeout=SECONDS).decode()
        assert digest_of(output, ledger) == before
        with open_medium(output) as opened:
            assert (opened.root / "notes.txt").read_text() == "by hand"
            assert (opened.pxe_tree / "vmlinuz").read_bytes().startswith(f"kernel {version}".encode())
            with Image.open(opened.images / "office.fcast") as copy:
                verify_image(copy)


def test_copied_to_a_larger_stick_it_gets_its_backup_table_at_the_end(
    tmp_path: Path, stages: MadeUpStages
) -> None:
    output = tmp_path / "medium.img"
    builder().file(output, SIZE)
    with output.open("r+b") as file:
        file.truncate(SIZE + 64 * MIB)
    assert builder().file(output, None).boot
    assert "No problems found" in run(["sgdisk", "-v", str(output)], timeout=SECONDS).decode()
    assert not builder().file(output, None).boot


def test_made_again_from_the_same_it_is_not_written(tmp_path: Path, stages: MadeUpStages) -> None:
    output = tmp_path / "medium.img"
    builder().file(output, SIZE)
    places = [Extent(0, 16 * MIB), plan_layout(SIZE, 512, MediumKind.DEPLOY).boot_slots[1]]
    before = [digest_of(output, Extent(p.start, 16 * MIB)) for p in places]
    assert not builder().file(output, None).boot
    assert [digest_of(output, Extent(p.start, 16 * MIB)) for p in places] == before


def test_two_media_of_the_same_build_start_from_the_same_bytes(
    tmp_path: Path, stages: MadeUpStages
) -> None:
    """Their ids, and so their tables, differ: each is a medium of its own."""
    layout, found = plan_layout(SIZE, 512, MediumKind.DEPLOY), []
    places = (Extent(0, 440), layout.bios, Extent(layout.boot_slots[0].start, 32 * MIB))
    for name in ("one.img", "other.img"):
        made = builder().file(tmp_path / name, SIZE)
        found.append((made.info.id, [digest_of(tmp_path / name, place) for place in places]))
    assert found[0][0] != found[1][0]
    assert found[0][1] == found[1][1]


class Cut(DiskFailed):
    """The stick is gone."""


def cut_at(patch: pytest.MonkeyPatch, number: int) -> None:
    """The writing of whole pieces ends before piece ``number``."""
    left, real = number, BlockFile.write

    def write(self: BlockFile, offset: int, data: bytes | memoryview) -> None:
        nonlocal left
        if left == 0:
            raise Cut("the stick is gone")
        left -= 1
        real(self, offset, data)

    patch.setattr(BlockFile, "write", write)


def test_an_update_cut_off_at_any_write_leaves_a_medium_that_starts(
    tmp_path: Path, stages: MadeUpStages
) -> None:
    output = tmp_path / "medium.img"
    builder().file(output, SIZE)
    stages.version, seen = 2, []
    for number in range(100):
        with pytest.MonkeyPatch.context() as patch:
            cut_at(patch, number)
            try:
                builder().file(output, None)
            except Cut:
                pass
            else:
                break
        seen.append(started(output, stages.folder))
        assert medium_at(output) is not None
    assert len(seen) > 10
    assert set(seen) == {(1, 1)}
    assert started(output, stages.folder) == (2, 2)


@pytest.mark.parametrize("torn", [512, 1024])
def test_even_a_torn_page_starts_by_uefi(tmp_path: Path, stages: MadeUpStages, torn: int) -> None:
    """A stick that wrote some of the page's sectors: the backup table is the new one already."""
    output = tmp_path / "medium.img"
    builder().file(output, SIZE)
    stages.version = 2
    real = BlockFile.write

    def write(self: BlockFile, offset: int, data: bytes | memoryview) -> None:
        page = offset == 0 and len(data) == stick.PAGE
        real(self, offset, data[:torn] if page else data)
        if page:
            raise Cut("the stick is gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BlockFile, "write", write)
        with pytest.raises(Cut):
            builder().file(output, None)
    found = medium_at(output)
    assert found is not None
    assert uefi_version(output, found.parts.boot.start, stages.folder) in (1, 2)
    assert builder().file(output, None).boot
    assert started(output, stages.folder) == (2, 2)
    assert "No problems found" in run(["sgdisk", "-v", str(output)], timeout=SECONDS).decode()


def test_a_new_stick_cut_off_at_any_write_is_no_medium(tmp_path: Path, stages: MadeUpStages) -> None:
    path = blank(tmp_path / "stick", needed(Contents()))
    write_at(path, 0, noise(2 * MIB, 9))
    with loop(path) as device:
        for number in range(100):
            facts = stick.chosen_stick(device, 0)
            with pytest.MonkeyPatch.context() as patch:
                cut_at(patch, number)
                try:
                    builder().stick(facts)
                except Cut:
                    pass
                else:
                    break
            with BlockFile.open_source(device) as disk:
                # Before the backup table everything is proven, but no firmware starts it.
                last = medium_at(device) is not None
                assert number == 0 or disk.read(0, 512) == bytes(512)
            if last:
                break
        assert number > 5
        built = builder().stick(stick.chosen_stick(device, 0))
        assert started(device, stages.folder) == (1, 1)
        assert built.serial == built.info.id
        with open_medium(device), pytest.raises(InUse):
            stick.chosen_stick(device, 0)


def test_a_stick_is_updated_in_place(tmp_path: Path, stages: MadeUpStages) -> None:
    with loop(blank(tmp_path / "stick", needed(Contents()))) as device:
        contents = Contents((image(tmp_path, "office"),))
        made = builder(contents).stick(stick.chosen_stick(device, 0))
        stages.version = 2
        found = medium_at(device)
        assert found is not None
        again = builder(contents).update(stick.chosen_stick(device, 0), found)
        assert (again.info, again.images, again.boot) == (made.info, (), True)
        assert started(device, stages.folder) == (2, 2)


def test_only_the_medium_that_was_looked_at_is_updated(tmp_path: Path, stages: MadeUpStages) -> None:
    output = tmp_path / "medium.img"
    builder().file(output, SIZE)
    found = medium_at(output)
    assert found is not None
    stages.version = 2
    other = replace(found, id="12345678-1234-4234-8234-123456789abc")
    with pytest.raises(Refused, match="another medium"):
        builder(name="Room 13").update(stick.chosen_stick(str(output), 0), other)
    assert started(output, stages.folder) == (1, 1)
    with open_medium(output) as opened:
        assert (opened.info.id, opened.info.name != "Room 13") == (found.id, True)


def test_what_has_no_room_is_told_and_nothing_is_left(tmp_path: Path, stages: MadeUpStages) -> None:
    output = tmp_path / "medium.img"
    raw = blank(tmp_path / "big.raw", 200 * MIB)
    write_at(raw, 0, noise(150 * MIB, 3))
    (tmp_path / "store").mkdir()
    big = make_image(tmp_path / "store", "big", raw, (Extent(0, 150 * MIB),))
    with pytest.raises(NoSpace, match=r"medium\.img.*:/images has .*the copy needs"):
        builder(Contents((big,))).file(output, least_size(MediumKind.DEPLOY))
    assert not output.exists()
    builder().file(output, least_size(MediumKind.DEPLOY))
    with pytest.raises(NoSpace, match=r"medium\.img.*:/images has .*the copy needs"):
        builder(Contents((big,))).file(output, None)
    with open_medium(output) as opened:
        assert list(opened.images.iterdir()) == []
    assert started(output, stages.folder) == (1, 1)


def test_a_stick_that_takes_no_more_is_told_and_is_no_medium(
    tmp_path: Path, stages: MadeUpStages
) -> None:
    """A loop device whose file system is full: the kernel says what it says of a failing disk."""
    folder = tmp_path / "full"
    folder.mkdir()
    raw = blank(tmp_path / "big.raw", 80 * MIB)
    write_at(raw, 0, noise(60 * MIB, 3))
    (tmp_path / "store").mkdir()
    big = make_image(tmp_path / "store", "big", raw, (Extent(0, 60 * MIB),))
    run(["mount", "-t", "tmpfs", "-o", "size=40M", "tmpfs", str(folder)], timeout=SECONDS)
    try:
        with loop(blank(folder / "stick", needed(Contents((big,))))) as device:
            with pytest.raises((DiskFailed, NoSpace), match=r"^/dev/loop"):
                builder(Contents((big,))).stick(stick.chosen_stick(device, 0))
            assert medium_at(device) is None
            with BlockFile.open_source(device) as disk:
                disk.drop_cache()
                assert disk.read(0, 512) == bytes(512)
    finally:
        run(["umount", str(folder)], timeout=SECONDS)


def test_another_image_or_licence_of_a_name_is_replaced_only_when_asked(
    tmp_path: Path, stages: MadeUpStages
) -> None:
    output = tmp_path / "medium.img"
    builder(Contents((image(tmp_path, "office"),), (licence(tmp_path, "a.lic"),))).file(output, SIZE)
    for contents in (
        Contents((image(tmp_path, "office", 5),)),
        Contents((), (licence(tmp_path, "a.lic", 7),)),
    ):
        with pytest.raises(Refused, match=r"office|another licence"):
            builder(contents).file(output, None)
        builder(replace(contents, replace=True)).file(output, None)
    with open_medium(output) as opened:
        assert open_licence((opened.licences / "a.lic").read_bytes()).count == 7
        with Image.open(opened.images / "office.fcast") as copy:
            verify_image(copy)
            content = copy.read_stored(0)
    with Image.open(tmp_path / "store-5/office.fcast") as own:
        assert own.read_stored(0) == content


def test_wrong_places_are_refused_untouched(tmp_path: Path, stages: MadeUpStages) -> None:
    thesis = tmp_path / "thesis.odt"
    thesis.write_text("years of work")
    with pytest.raises(Refused, match="no deploy medium"):
        builder().file(thesis, SIZE)
    assert thesis.read_text() == "years of work"
    with pytest.raises(Refused, match="how large"):
        builder().file(tmp_path / "new.img", None)
    with pytest.raises(DoesNotFit):
        builder().file(tmp_path / "new.img", 100 * MIB)
    with pytest.raises(NotFound):
        builder().file(tmp_path / "no/folder.img", SIZE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["stages", "thesis.odt"]


def test_contents_are_looked_at_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        deploydata.checked([tmp_path / "none.fcast"], [], replace=False)
    with pytest.raises(Refused, match=r"NAME\.lic"):
        deploydata.checked([], [licence(tmp_path, "a.txt")], replace=False)
    with pytest.raises(NotFound):
        deploydata.checked([], [tmp_path / "none.lic"], replace=False)
    changed = licence(tmp_path, "changed.lic")
    changed.write_bytes(changed.read_bytes().replace(b":5", b":9"))
    with pytest.raises(Untrusted):
        deploydata.checked([], [changed], replace=False)
    twice = [image(tmp_path, "office", 1), image(tmp_path, "office", 2)]
    with pytest.raises(Refused, match="one name"):
        deploydata.checked(twice, [], replace=False)
