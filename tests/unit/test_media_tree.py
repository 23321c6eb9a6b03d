"""The PXE tree on disk: contract of tree.json, whole or absent, never over something else."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from blake3 import blake3
from castcore.errors import DiskFailed, FleetcastError, NoSpace, Refused
from castmedia.tree import check_output, write_tree

ROLES = {
    "kernel": "vmlinuz",
    "initrd": "initrd.img",
    "shim": "shimx64.efi",
    "grub": "grubx64.efi",
    "ipxe": "undionly.kpxe",
}


@pytest.fixture
def built(tmp_path: Path) -> dict[str, tuple[str, Path]]:
    files = {}
    for role, name in ROLES.items():
        path = tmp_path / f"built-{role}"
        path.write_text(f"the {role}")
        files[role] = (name, path)
    return files


def test_tree_json_names_every_file_by_role(tmp_path: Path, built: dict[str, tuple[str, Path]]) -> None:
    write_tree(tmp_path / "tree", built)
    table = json.loads((tmp_path / "tree/tree.json").read_text())
    assert (table["format"], table["arch"]) == (1, "x86_64")
    assert set(table["files"]) == set(ROLES)
    for role, row in table["files"].items():
        content = (tmp_path / "tree" / row["name"]).read_bytes()
        assert row == {
            "name": ROLES[role],
            "size": len(content),
            "blake3": blake3(content).hexdigest(),
        }
    assert {p.name for p in (tmp_path / "tree").iterdir()} == {"tree.json", *ROLES.values()}


def test_an_unchanged_tree_is_left_alone(tmp_path: Path, built: dict[str, tuple[str, Path]]) -> None:
    write_tree(tmp_path / "tree", built)
    before = {p.name: p.stat().st_ino for p in (tmp_path / "tree").iterdir()}
    write_tree(tmp_path / "tree", built)
    assert {p.name: p.stat().st_ino for p in (tmp_path / "tree").iterdir()} == before


def test_what_a_tree_no_longer_has_is_removed(
    tmp_path: Path, built: dict[str, tuple[str, Path]]
) -> None:
    settings = tmp_path / "built-settings"
    settings.write_text("settings")
    write_tree(tmp_path / "tree", built | {"settings": ("settings.cpio", settings)})
    (tmp_path / "tree/notes").write_text("not ours")
    write_tree(tmp_path / "tree", built)
    names = {p.name for p in (tmp_path / "tree").iterdir()}
    assert names == {"tree.json", "notes", *ROLES.values()}


def test_a_damaged_file_is_replaced(tmp_path: Path, built: dict[str, tuple[str, Path]]) -> None:
    write_tree(tmp_path / "tree", built)
    (tmp_path / "tree/vmlinuz").write_text("the kerneL")
    write_tree(tmp_path / "tree", built)
    assert (tmp_path / "tree/vmlinuz").read_text() == "the kernel"


def test_while_files_change_there_is_no_tree_json(
    tmp_path: Path, built: dict[str, tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    write_tree(tree, built)
    built["kernel"][1].write_text("a newer kernel")
    renamed: list[bool] = []
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        renamed.append((tree / "tree.json").exists())
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    write_tree(tree, built)
    assert renamed == [False] * (len(ROLES) + 1)


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, NoSpace), (errno.EIO, DiskFailed)])
def test_a_full_or_failing_disk_leaves_the_older_tree_whole(
    tmp_path: Path,
    built: dict[str, tuple[str, Path]],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[FleetcastError],
) -> None:
    tree = tmp_path / "tree"
    write_tree(tree, built)
    before = {p.name: p.read_bytes() for p in tree.iterdir()}
    built["kernel"][1].write_text("a newer kernel")

    def fail(_source: Path, target: Path) -> None:
        target.write_text("half")
        raise OSError(number, "it is over")

    monkeypatch.setattr("castmedia.tree.shutil.copyfile", fail)
    with pytest.raises(kind, match=str(tree)):
        write_tree(tree, built)
    assert {p.name: p.read_bytes() for p in tree.iterdir()} == before


def test_a_half_made_tree_is_completed(tmp_path: Path, built: dict[str, tuple[str, Path]]) -> None:
    tree = tmp_path / "tree"
    write_tree(tree, built)
    (tree / "tree.json").unlink()
    (tree / "initrd.img.partial").write_text("ha")
    write_tree(tree, built)
    assert (tree / "tree.json").exists()
    assert not (tree / "initrd.img.partial").exists()


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").touch()
    with pytest.raises(Refused, match=r"no PXE tree"):
        check_output(tmp_path, ROLES.values())
    with pytest.raises(Refused, match="not a directory"):
        check_output(tmp_path / "thesis.odt", ROLES.values())


def test_new_and_empty_folders_are_fine(tmp_path: Path) -> None:
    check_output(tmp_path, ROLES.values())
    check_output(tmp_path / "new/below", ROLES.values())
