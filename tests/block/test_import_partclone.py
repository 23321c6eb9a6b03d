"""Partclone images imported: what comes in equals what partclone.restore itself writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from castcore.disk import Taken
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.foreign.importing import import_image
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.edge.image.verify import verify_image
from castcore.edge.run import ProgramFailed, run
from castcore.errors import BadImage

from tests.block.clonezilla import shell
from tests.block.diskimages import SAMPLES, make
from tests.support.images import blank
from tests.support.partcloneimages import as_format_1, with_xxhash

pytestmark = pytest.mark.root

SECONDS = 120.0
PROGRAMS = {"ext2": "extfs", "ext4": "extfs", "ext4-1k": "extfs", "vfat": "vfat", "vfat-16": "vfat"}
OTHERS = {"btrfs": 128, "exfat": 32}


def partclone(*words: str | Path, log: Path) -> None:
    run([*map(str, words), "-L", str(log)], timeout=SECONDS)


def saved(kind: str, source: Path, target: Path, *options: str) -> Path:
    program = f"partclone.{PROGRAMS.get(kind, kind)}"
    partclone(program, "-c", *options, "-s", source, "-o", target, log=target.with_suffix(".log"))
    return target


def by_partclone(image: Path, size: int) -> bytes:
    """The device of ``size`` bytes, zeros before, that partclone.restore makes of ``image``."""
    target = blank(image.with_suffix(".restored"), size)
    partclone("partclone.restore", "-C", "-s", image, "-O", target, log=target.with_suffix(".log"))
    return target.read_bytes()


def by_fleetcast(source: Path, store: Path, size: int) -> bytes:
    """The same by importing ``source``, proving the image, and restoring it."""
    path = store / "imported.fcast"
    import_image(source, path)
    target = blank(store / "target.raw", size)
    with Image.open(path) as image, BlockFile.open_target(target) as disk:
        verify_image(image)
        restore(image, [disk], verify=True)
    return target.read_bytes()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    found = {kind: make(SAMPLES[kind], folder / f"{kind}.part") for kind in SAMPLES}
    for kind, mib in OTHERS.items():
        found[kind] = blank(folder / f"{kind}.part", mib << 20)
        force = [] if kind == "exfat" else ["-f"]
        run([f"mkfs.{kind}", *force, str(found[kind])], timeout=SECONDS)
    return found


# The rest of the kinds differ in what partclone reads, not in what it writes: for `make test-full`.
USUAL = ("ext4", "ntfs", "vfat-16", "btrfs", "exfat")


@pytest.mark.parametrize(
    "kind",
    [k if k in USUAL else pytest.param(k, marks=pytest.mark.full) for k in (*SAMPLES, *OTHERS)],
)
def test_what_comes_in_is_what_partclone_restores(
    sources: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    source = sources[kind]
    image = saved(kind, source, tmp_path / "image")
    size = source.stat().st_size
    assert by_fleetcast(image, tmp_path, size) == by_partclone(image, size)
    with Image.open(tmp_path / "imported.fcast") as opened:
        (disk,) = opened.manifest.disks
        (partition,) = disk.layout.partitions
        assert opened.manifest.source.format == "partclone"
        assert partition.taken is Taken.USED
        assert partition.fstype == (SAMPLES[kind].fstype if kind in SAMPLES else kind)
        assert ("may omit blocks" in partition.why) == (kind == "btrfs")


@pytest.fixture(scope="module")
def restored(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What partclone.restore makes of some of the sources."""
    folder = tmp_path_factory.mktemp("restored")
    return {
        kind: by_partclone(saved(kind, sources[kind], folder / kind), sources[kind].stat().st_size)
        for kind in ("ext2", "vfat-16")
    }


# partclone.restore 0.3.23 itself ends with a corrupt heap on -k7.
@pytest.mark.parametrize("options", ["-a0", "-a1 -k7", "-a1 -k100000", "-a1 -k64 -K"])
def test_every_way_of_summing_blocks(
    sources: dict[str, Path], restored: dict[str, bytes], tmp_path: Path, options: str
) -> None:
    image = saved("ext2", sources["ext2"], tmp_path / "image", *options.split())
    assert by_fleetcast(image, tmp_path, SAMPLES["ext2"].size) == restored["ext2"]


def test_every_compression_whole_and_in_pieces(
    sources: dict[str, Path], restored: dict[str, bytes], tmp_path: Path
) -> None:
    plain = saved("vfat-16", sources["vfat-16"], tmp_path / "image")
    for compressor, suffix, piece in (
        ("gzip -c", "gz", ""),
        ("gzip -c", "gz", "1000000"),
        ("bzip2 -c", "bz2", ""),
        ("xz -c -0", "xz", ""),
        ("xz --format=lzma -c -0", "lzma", "1000000"),
        ("zstd -c", "zst", ""),
        ("lz4 -c", "lz4", ""),
        ("lz4 -c", "lz4", "1000000"),
        ("cat", "uncomp", "1000000"),
    ):
        folder = tmp_path / f"{suffix}-{piece}"
        folder.mkdir()
        target = folder / f"sda1.vfat-ptcl-img.{suffix}"
        into = f"split -a 2 -b {piece} - {{target}}." if piece else "cat > {target}"
        shell(f"{compressor} < {{plain}} | {into}", plain=plain, target=target)
        first = Path(f"{target}.aa") if piece else target
        assert len(list(folder.iterdir())) > 1 or not piece
        assert by_fleetcast(first, folder, SAMPLES["vfat-16"].size) == restored["vfat-16"], suffix


def test_format_0001_as_partclone_itself_still_reads_it(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    source = sources["ext4-1k"]
    old = tmp_path / "old"
    old.write_bytes(as_format_1(saved("ext4", source, tmp_path / "image", "-a0").read_bytes()))
    size = source.stat().st_size
    assert by_fleetcast(old, tmp_path, size) == by_partclone(old, size)


@pytest.mark.parametrize("wide", [False, True])
def test_sums_by_xxhash(
    sources: dict[str, Path], restored: dict[str, bytes], tmp_path: Path, wide: bool
) -> None:
    plain = saved("ext2", sources["ext2"], tmp_path / "image", "-a0")
    summed = tmp_path / "summed"
    summed.write_bytes(with_xxhash(plain.read_bytes(), wide=wide, strip=20))
    assert by_fleetcast(summed, tmp_path, SAMPLES["ext2"].size) == restored["ext2"]
    data = bytearray(summed.read_bytes())
    data[-5000] ^= 1
    summed.write_bytes(data)
    with pytest.raises(BadImage, match="checksum"):
        import_image(summed, tmp_path / "damaged.fcast")


def test_damage_is_refused_as_partclone_refuses_it(sources: dict[str, Path], tmp_path: Path) -> None:
    image = saved("ext2", sources["ext2"], tmp_path / "image")
    whole = image.read_bytes()
    for place in (20, 105, 150, len(whole) // 2, len(whole) - 3):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        image.write_bytes(damaged)
        with pytest.raises(BadImage):
            import_image(image, tmp_path / "damaged.fcast")
    with pytest.raises(ProgramFailed):
        by_partclone(image, SAMPLES["ext2"].size)
    image.write_bytes(whole[:-10])
    with pytest.raises(BadImage, match="ends inside"):
        import_image(image, tmp_path / "damaged.fcast")
    assert not (tmp_path / "damaged.fcast").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
