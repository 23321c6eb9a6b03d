"""Picking files out of the Debian root, the recipe, and packing the result."""

from __future__ import annotations

import lzma
import os
import re
import tomllib
from pathlib import Path

import pytest
import zstandard
from castcore.errors import BadImage, NetworkFailed, NoSpace, NotFound
from castcore.newc import archive, regular
from castmedia import imagereader
from castmedia.bootroot import Picker, loaded_libraries, real_name, share_equal_files
from castmedia.debianroot import explained
from castmedia.freeze import Sources, source_files
from castmedia.initramfs import members, write_initramfs
from castmedia.recipe import Packing, Profile, parse_recipe, recipe

LISTED = """\
\tlinux-vdso.so.1 (0x00007ffd8c5f3000)
\tlibkmod.so.2 => /lib/x86_64-linux-gnu/libkmod.so.2 (0x00007f1e1c0b1000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1e1be00000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f1e1c0f5000)
"""


def test_libraries_that_the_loader_lists() -> None:
    assert loaded_libraries(LISTED, "kmod") == (
        "/lib/x86_64-linux-gnu/libkmod.so.2",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/ld-linux-x86-64.so.2",
    )


def test_a_lost_library_is_named() -> None:
    with pytest.raises(NotFound, match=r"kmod needs libkmod\.so\.2"):
        loaded_libraries("\tlibkmod.so.2 => not found\n", "kmod")


@pytest.mark.parametrize(
    ("name", "real"),
    [
        ("/lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
        ("bin/sh", "usr/bin/sh"),
        ("usr/lib/os-release", "usr/lib/os-release"),
        ("/etc/../usr/lib/./os-release", "usr/lib/os-release"),
        ("/../../etc/shadow", "etc/shadow"),
        ("library/x", "library/x"),
    ],
)
def test_names_inside_the_root(name: str, real: str) -> None:
    assert real_name(name) == real


def test_a_failed_fetch_tells_why_and_a_full_disk_as_such(tmp_path: Path) -> None:
    said = "Err:2 http: trixie\nE: Unable to locate package partclone\nE: mmdebstrap failed to run"
    lost = explained(said, tmp_path)
    assert isinstance(lost, NetworkFailed)
    assert lost.what == "Debian's packages cannot be fetched: Unable to locate package partclone"
    assert isinstance(explained("tar: x: No space left on device\n" + said, tmp_path), NoSpace)
    assert "odd" in explained("odd", tmp_path).what


def test_a_link_brings_what_it_points_to(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "usr/lib").mkdir(parents=True)
    (source / "usr/lib/libz.so.1.3").write_text("code")
    (source / "usr/lib/libz.so.1").symlink_to("libz.so.1.3")
    (source / "usr/lib/libz.so").symlink_to("/lib/libz.so.1")
    target.mkdir()
    Picker(source, target).glob("usr/lib/libz.so")
    assert (target / "usr/lib/libz.so").readlink() == Path("/lib/libz.so.1")
    assert (target / "usr/lib/libz.so.1").resolve().read_text() == "code"


def test_set_user_id_does_not_come_along(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    program = tmp_path / "source/su"
    program.write_text("code")
    program.chmod(0o4777)
    Picker(tmp_path / "source", tmp_path / "target").copy("su")
    assert (tmp_path / "target/su").stat().st_mode & 0o7777 == 0o755


def test_a_name_that_no_package_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file usr/sbin/partclone\.\*"):
        Picker(tmp_path, tmp_path / "target").glob("usr/sbin/partclone.*")


def test_full_knows_all_that_virtual_knows() -> None:
    full, virtual = recipe(Profile.FULL), recipe(Profile.VM)
    assert full.modules[: len(virtual.modules)] == virtual.modules
    assert full.programs[: len(virtual.programs)] == virtual.programs
    assert "drivers/net/ethernet/**" in full.modules
    # Both profiles share packages and frozen client, so that the second is built in seconds.
    assert (full.packages, full.freeze) == (virtual.packages, virtual.freeze)


def test_the_boot_chain_has_every_role_but_the_initrd() -> None:
    names = {f.role: f.name for f in recipe(Profile.FULL).boot_files}
    assert names == {
        "kernel": "vmlinuz",
        "shim": "shimx64.efi",
        "grub": "grubx64.efi",
        "ipxe": "undionly.kpxe",
    }


def test_wireless_never_comes_along() -> None:
    taken = [p for p in recipe(Profile.FULL).modules if not p.startswith("!")]
    assert not [p for p in taken if "wireless" in p or "wwan" in p or p == "drivers/net/**"]


def test_a_recipe_that_is_no_toml_is_our_own_mistake() -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        parse_recipe("suite = ", Profile.FULL)


def test_documents_and_byte_code_are_not_frozen(tmp_path: Path) -> None:
    for name in ("a.py", "FORMAT.md", "deep/b.toml", "__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert source_files(tmp_path) == [tmp_path / "a.py", tmp_path / "deep/b.toml"]


def some_root(folder: Path, order: list[str]) -> Path:
    for name in order:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (len(order), 99))
    (folder / "init").chmod(0o700)
    (folder / "z").symlink_to("init")
    return folder


@pytest.mark.parametrize("packing", list(Packing))
def test_equal_folders_give_equal_bytes(tmp_path: Path, packing: Packing) -> None:
    names = ["init", "usr/bin/b", "usr/bin.d/a", "usr/a"]
    packed = []
    for number, order in enumerate((names, names[::-1])):
        root = some_root(tmp_path / str(number), order)
        output = tmp_path / f"{number}.img"
        write_initramfs(root, output, packing=packing, progress=lambda _: None)
        packed.append(output.read_bytes())
    assert packed[0] == packed[1]
    # Whole blocks, so that another archive can follow it.
    assert len(packed[0]) % 512 == 0
    assert imagereader.read(output, ["a", "b"]) == {"a": b"usr/bin.d/a", "b": b"usr/bin/b"}


def test_what_is_no_boot_image_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        imagereader.read(tmp_path / "none", ["a"])
    image = tmp_path / "image"
    for data in (b"", b"070701", zstandard.compress(b"x" * 200), lzma.compress(b"070701" + b"z" * 200)):
        image.write_bytes(data)
        with pytest.raises(BadImage):
            imagereader.read(image, ["a"])
    image.write_bytes(zstandard.compress(b"".join(archive([regular("a", b"b")]))))
    with pytest.raises(BadImage, match="no kernel modules"):
        imagereader.alias_table(image)


def test_equal_files_are_there_once(tmp_path: Path) -> None:
    for name in ("usr/lib/libz.so.1", "opt/client/libz.so.1", "opt/client/other"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name[-1].encode() * 5000)
    (tmp_path / "small").write_text("1")
    (tmp_path / "little").write_text("1")
    share_equal_files(tmp_path)
    assert (tmp_path / "opt/client/libz.so.1").readlink() == Path("/usr/lib/libz.so.1")
    links = [p.name for p in tmp_path.rglob("*") if p.is_symlink()]
    assert links == ["libz.so.1"]


def test_parents_come_first_and_modes_are_plain(tmp_path: Path) -> None:
    root = some_root(tmp_path / "root", ["usr/bin/b", "init", "usr/bin.d/a"])
    made = list(members(root))
    names = [m.name for m in made]
    assert names == ["init", "usr", "usr/bin", "usr/bin/b", "usr/bin.d", "usr/bin.d/a", "z"]
    assert [oct(m.mode) for m in made[:4]] == ["0o100755", "0o40755", "0o40755", "0o100644"]


def test_what_the_frozen_client_is_without_nothing_of_it_uses() -> None:
    """Numpy's parts are loaded when they are first used: no self-test would notice."""
    absent = {
        name.split(".")[1] for name in recipe(Profile.FULL).freeze.excluded_modules if "numpy." in name
    }
    assert {"random", "linalg", "fft", "ma"} <= absent
    used = re.compile(rf"\bnp\.({'|'.join(absent - {'_core'})})\b")
    sources = Sources.installed()
    for package in (sources.castcore, sources.castclient):
        for file in source_files(package):
            assert not used.search(file.read_text()), f"{file} uses a part of numpy that is left out"
