"""Clonezilla folders imported: what comes in equals what Clonezilla's own commands restore."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from castcore.disk import Extent, Taken, subtract
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.foreign.importing import import_image
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.edge.image.verify import verify_image
from castcore.edge.run import run
from castcore.errors import BadImage, FleetcastError, Refused
from castcore.units import MIB

from tests.block.clonezilla import Saved, mbr_disk, parts_of, restore_disk, save_disk
from tests.block.diskimages import SAMPLES, cut_out, digests_mounted, digests_ntfs, make
from tests.block.disks import require_clean, system_disk
from tests.support.images import blank, noise

pytestmark = pytest.mark.root

SECONDS = 60.0
MBR_KINDS = {1: "ntfs", 2: "dd", 3: "extended", 5: "ext4", 6: "swap"}
GPT_KINDS = {1: "vfat", 2: "ext4", 3: "swap"}


@pytest.fixture(scope="module")
def mbr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mbr")
    contents = {kind: make(SAMPLES[kind], folder / f"{kind}.part") for kind in ("ntfs", "ext4")}
    contents["dd"] = folder / "dd.part"
    contents["dd"].write_bytes(noise(3 * MIB, 5) + bytes(MIB))
    contents["swap"] = blank(folder / "swap.part", 8 * MIB)
    run(["mkswap", "-L", "cached", str(contents["swap"])], timeout=SECONDS)
    return mbr_disk(folder, contents)


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return system_disk(tmp_path_factory.mktemp("gpt"))


def imported(folder: Path, work: Path, size: int) -> Path:
    """The folder imported, proven, and restored to a blank disk of ``size`` bytes."""
    import_image(folder, work / "imported.fcast")
    target = blank(work / "target.raw", size)
    with Image.open(work / "imported.fcast") as image, BlockFile.open_target(target) as disk:
        verify_image(image)
        restore(image, [disk], verify=True)
    return target


def differing(left: Path, right: Path, but: tuple[Extent, ...] = ()) -> list[int]:
    """Where, in steps of 4 KiB, the files differ outside of ``but``."""
    with left.open("rb") as one, right.open("rb") as other:
        a, b = one.read(), other.read()
    assert len(a) == len(b)
    places = subtract([Extent(0, len(a))], but)
    step = 4096
    return [
        at
        for e in places
        for at in range(e.start, e.end, step)
        if a[at : min(at + step, e.end)] != b[at : min(at + step, e.end)]
    ]


@pytest.mark.parametrize(
    "saved",
    [
        Saved(),
        Saved("-a0 -z 10485760", "gzip -c", "gz", "3000000", name="nvme0n1p", disk="nvme0n1"),
    ],
    ids=lambda s: s.suffix,
)
def test_an_mbr_disk_with_logical_partitions(mbr: Path, tmp_path: Path, saved: Saved) -> None:
    parts = parts_of(mbr, MBR_KINDS)
    folder = save_disk(mbr, tmp_path / "folder", parts, saved)
    target = imported(folder, tmp_path, mbr.stat().st_size)
    theirs = restore_disk(folder, parts, saved, blank(tmp_path / "theirs.raw", mbr.stat().st_size))
    assert differing(target, theirs) == []
    by_number = {p.number: p for p in parts}
    ext4 = cut_out(target, by_number[5].extent, tmp_path / "ext4.part")
    run([*SAMPLES["ext4"].check, str(ext4)], timeout=SECONDS)
    assert digests_mounted(ext4) == digests_mounted(
        cut_out(mbr, by_number[5].extent, tmp_path / "source.part")
    )
    ntfs = cut_out(target, by_number[1].extent, tmp_path / "ntfs.part")
    assert len(digests_ntfs(ntfs)) == 40
    with Image.open(tmp_path / "imported.fcast") as image:
        layout = image.manifest.disks[0].layout
        holds = {p.number: (p.fstype, p.taken, p.label) for p in layout.partitions}
        assert holds[1][:2] == ("ntfs", Taken.USED)
        assert holds[2] == ("", Taken.EVERY, "")
        assert holds[5][:2] == ("ext4", Taken.USED)
        assert holds[6] == ("swap", Taken.HEADER, "cached")
        assert image.manifest.source.format == "clonezilla"
        assert image.manifest.used < 80 * MIB


def test_a_gpt_disk(gpt: Path, tmp_path: Path) -> None:
    parts, saved = parts_of(gpt, GPT_KINDS), Saved()
    folder = save_disk(gpt, tmp_path / "folder", parts, saved)
    size = gpt.stat().st_size
    target = imported(folder, tmp_path, size)
    theirs = restore_disk(folder, parts, saved, blank(tmp_path / "theirs.raw", size))
    # Ours has the whole backup table, as the source has it.
    backup = Extent(size - 33 * 512, 33 * 512)
    assert differing(target, theirs, (backup,)) == []
    assert target.read_bytes()[backup.start :] == gpt.read_bytes()[backup.start :]
    require_clean(target, tmp_path)
    with Image.open(tmp_path / "imported.fcast") as image:
        (disk,) = image.manifest.disks
        assert [p.label for p in disk.layout.partitions] == ["ESP", "root", ""]
    # Without the sectors that Clonezilla saved the table comes from sfdisk's own dump.
    (folder / "sda-gpt-1st").unlink()
    (tmp_path / "again").mkdir()
    again = imported(folder, tmp_path / "again", size)
    require_clean(again, tmp_path / "again")


def test_a_file_system_without_a_table_and_two_disks(tmp_path: Path) -> None:
    source = make(SAMPLES["ext2"], tmp_path / "bare.part")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("sda", "sdb"):
        target = folder / f"{name}.ext2-ptcl-img.uncomp"
        log = ["-L", str(tmp_path / "log")]
        run(["partclone.ext2", "-c", "-s", str(source), "-o", str(target), *log], timeout=SECONDS)
    (folder / "disk").write_text("sda sdb\n")
    (folder / "parts").write_text("sda sdb\n")
    manifest = import_image(folder, tmp_path / "two.fcast")
    assert [d.layout.size for d in manifest.disks] == [source.stat().st_size] * 2
    assert [d.layout.partitions[0].fstype for d in manifest.disks] == ["ext2", "ext2"]
    assert manifest.disks[0].in_use == manifest.disks[1].in_use
    with Image.open(tmp_path / "two.fcast") as image:
        verify_image(image)


@pytest.fixture(scope="module")
def whole(gpt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "folder"
    return save_disk(gpt, folder, parts_of(gpt, GPT_KINDS), Saved(piece="200000"))


@pytest.mark.parametrize(
    ("gone", "added", "kind", "says"),
    [
        ("sda2.ext4-ptcl-img.zst.ab", "", BadImage, "zst.ab is missing"),
        ("sda2.ext4-ptcl-img.zst.a*", "", BadImage, "the image of sda2 is missing"),
        ("sda-pt.parted", "", BadImage, "sda-pt.parted is missing"),
        ("disk", "", Refused, "partitions only"),
        ("nothing", "lvm_vg_dev.list", Refused, "logical volumes"),
        ("nothing", "luks-dev.list", Refused, "LUKS"),
        ("nothing", "sda1.aa", Refused, "partimage"),
        ("sda1.*", "sda1.ntfs-img.aa", Refused, "ntfsclone"),
        ("nothing", "sda2.xfs-ptcl-img.gz", BadImage, "several images"),
    ],
)
def test_what_cannot_be_put_together_is_refused_with_the_reason(
    whole: Path, tmp_path: Path, gone: str, added: str, kind: type[FleetcastError], says: str
) -> None:
    folder = shutil.copytree(whole, tmp_path / "folder")
    for path in folder.glob(gone):
        path.unlink()
    if added:
        (folder / added).write_text("x")
    with pytest.raises(kind, match=says) as told:
        import_image(folder, tmp_path / "store" / "no.fcast")
    assert str(folder) in told.value.what
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_folder_is_refused_or_was_not_harmed(whole: Path, tmp_path: Path, seed: int) -> None:
    """Each seed damages another file (all in turn), in its own way."""
    rng = random.Random(seed)
    names = sorted(p.name for p in whole.iterdir() if p.stat().st_size)
    folder = shutil.copytree(whole, tmp_path / "folder")
    damaged = folder / names[seed % len(names)]
    data = bytearray(damaged.read_bytes())
    match seed // len(names) + rng.randrange(3):
        case 0:
            data = data[: rng.randrange(len(data))]
        case 1:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case _:
            at = rng.randrange(len(data))
            data[at : at + 40] = rng.randbytes(40)
    damaged.write_bytes(data)
    store = tmp_path / "store"
    try:
        import_image(folder, store / "new.fcast")
    except FleetcastError:
        assert not store.exists() or list(store.iterdir()) == []
        return
    assert "-ptcl-img" not in damaged.name
    assert [p.name for p in store.iterdir()] == ["new.fcast"]
    with Image.open(store / "new.fcast") as image:
        verify_image(image)


def test_a_last_piece_that_is_missing_is_noticed(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "folder")
    max(folder.glob("sda2.ext4-ptcl-img.zst.*")).unlink()
    with pytest.raises(BadImage, match="ends inside"):
        import_image(folder, tmp_path / "store" / "no.fcast")
    assert list((tmp_path / "store").iterdir()) == []
