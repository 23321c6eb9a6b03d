"""The PXE tree: the boot files, and ``tree.json`` that names them by role (``docs/architecture.md``)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from castcore import canonical, trust
from castcore.edge.image.store import writing_to
from castcore.errors import BadPacket, Refused

FORMAT = 1
ARCHITECTURE = "x86_64"
TREE_JSON = "tree.json"
PARTIAL = ".partial"
TABLE_LIMIT = 64 << 10


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file of the tree as ``tree.json`` describes it: ``size`` in bytes, ``digest`` is its BLAKE3."""

    name: str
    size: int
    digest: bytes

    @classmethod
    def of(cls, name: str, path: Path) -> TreeFile:
        """The description of the file at ``path`` under ``name``."""
        data = path.read_bytes()
        return cls(name, len(data), trust.digest(data))


def describe(files: Mapping[str, TreeFile]) -> bytes:
    """``tree.json`` for ``files`` by role."""
    rows = {
        role: {"name": f.name, "size": f.size, "blake3": f.digest.hex()} for role, f in files.items()
    }
    return canonical.encode({"format": FORMAT, "arch": ARCHITECTURE, "files": rows}) + b"\n"


def write_tree(output: Path, files: Mapping[str, tuple[str, Path]]) -> dict[str, TreeFile]:
    """Put ``files`` (role: name in the tree, where it is now) into ``output``, ``tree.json`` last.

    While files change there is no ``tree.json``: a half-made tree is no tree. Raises Refused when
    ``output`` holds something that is no PXE tree, NoSpace, DiskFailed.
    """
    check_output(output, {name for name, _ in files.values()})
    with writing_to(output, "another --output"):
        output.mkdir(parents=True, exist_ok=True)
        return _write(output, files)


def _write(output: Path, files: Mapping[str, tuple[str, Path]]) -> dict[str, TreeFile]:
    described = {role: TreeFile.of(name, path) for role, (name, path) in files.items()}
    table = output / TREE_JSON
    content = describe(described)
    if table.is_file() and table.read_bytes() == content and _whole(output, described):
        return described
    _replace(output, dict(files.values()), content)
    return described


def _replace(output: Path, files: Mapping[str, Path], table: bytes) -> None:
    """Copy all beside its place first, so that a full disk leaves an older tree as it was."""
    partials = {output / name: output / f"{name}{PARTIAL}" for name in (*files, TREE_JSON)}
    try:
        for name, source in files.items():
            shutil.copyfile(source, partials[output / name])
        partials[output / TREE_JSON].write_bytes(table)
        for partial in partials.values():
            partial.chmod(0o644)
            _sync(partial)
    except BaseException:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
        raise
    dropped = _named(output) - {path.name for path in partials}
    (output / TREE_JSON).unlink(missing_ok=True)
    for target, partial in partials.items():
        partial.rename(target)
    for name in dropped:
        (output / name).unlink(missing_ok=True)
    _sync(output)


def _named(output: Path) -> set[str]:
    """The files that the tree in ``output`` has by its own account; none when that is damaged."""
    try:
        rows = canonical.decode((output / TREE_JSON).read_bytes().strip(), limit=TABLE_LIMIT)["files"]
        names = {str(row["name"]) for row in rows.values()}
    except (OSError, BadPacket, KeyError, TypeError, AttributeError):
        return set()
    return {name for name in names if name == Path(name).name}


def check_output(output: Path, names: Collection[str]) -> None:
    """Return when ``output`` may become a tree of files ``names``; else raise Refused.

    It may when it is absent, empty, a tree, or what an interrupted build left of one.
    """
    if output.exists() and not output.is_dir():
        raise Refused(f"{output} is not a directory", hint="give another --output")
    if not output.is_dir() or (output / TREE_JSON).is_file():
        return
    strange = [
        p.name for p in output.iterdir() if p.name.removesuffix(PARTIAL) not in {*names, TREE_JSON}
    ]
    if strange:
        raise Refused(
            f"{output} has files but no {TREE_JSON}, so it is no PXE tree",
            hint="give an empty or new directory as --output",
        )


def _whole(output: Path, files: Mapping[str, TreeFile]) -> bool:
    paths = {file.name: output / file.name for file in files.values()}
    return all(
        paths[f.name].is_file() and TreeFile.of(f.name, paths[f.name]) == f for f in files.values()
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
