"""Driver packs as folders: made whole or not at all, loaded with every file proven."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from castcore.edge.image.store import writing_to
from castcore.errors import BadImage, NotFound, Refused

from castmedia.cache import PARTIAL, file_digest
from castmedia.driverpack import (
    FIRMWARE,
    MANIFEST,
    MODULES,
    Pack,
    PackedFile,
    PackedModule,
    encode,
    parse,
)
from castmedia.modinfo import ModuleFacts


@dataclass(frozen=True, slots=True)
class LoadedPack:
    """A pack and the folder it is in."""

    folder: Path
    pack: Pack


def load(folder: Path) -> LoadedPack:
    """The pack in ``folder``. Raises NotFound, Refused (odd manifest), BadImage (changed files)."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise NotFound(
            f"{folder} is no driver pack: it has no {MANIFEST}", hint="media-builder drivers list"
        )
    pack = parse(manifest.read_bytes())
    for file in pack.files:
        path = folder / file.path
        if not path.is_file() or file_digest(path) != file.digest:
            raise BadImage(f"the pack {folder} is damaged: {file.path} is not what it was when added")
    return LoadedPack(folder, pack)


def packs_in(drivers: Path) -> tuple[LoadedPack, ...]:
    """Every pack below the folder ``drivers``, by name. Raises as :func:`load`."""
    folders = sorted(
        p.parent for p in drivers.glob(f"*/{MANIFEST}") if not p.parent.name.startswith(".")
    )
    return tuple(map(load, folders))


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a new pack: modules with their facts, firmware by its name below /lib/firmware, and
    the copyright file of the package they come from.
    """

    modules: tuple[tuple[Path, ModuleFacts], ...]
    firmware: tuple[tuple[Path, str], ...]
    copyright: Path | None = None


def packed(contents: Contents) -> tuple[tuple[PackedModule, ...], tuple[PackedFile, ...]]:
    """The manifest's rows of ``contents``. Raises Refused for two modules of one name."""
    modules: list[PackedModule] = []
    for path, facts in contents.modules:
        if any(m.name == facts.name for m in modules):
            raise Refused(f"two modules are called {facts.name}", hint="keep the one for this kernel")
        file = PackedFile(f"{MODULES}/{path.name}", file_digest(path))
        modules.append(
            PackedModule(facts.name, file, facts.aliases, facts.needs, facts.licence, facts.signer)
        )
    firmware = (PackedFile(f"{FIRMWARE}/{name}", file_digest(path)) for path, name in contents.firmware)
    return tuple(modules), tuple(firmware)


def write(drivers: Path, pack: Pack, contents: Contents, *, replace: bool) -> Path:
    """Make the folder of ``pack`` below ``drivers``; whole, or not at all.

    Raises Refused when there is one and not ``replace``; NoSpace, DiskFailed.
    """
    folder, partial = drivers / pack.name, drivers / f"{PARTIAL}{pack.name}"
    if folder.exists() and not replace:
        raise Refused(
            f"there is a pack {folder}", hint="another name, or `media-builder drivers add --replace`"
        )
    with writing_to(drivers, "another folder"):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            _fill(partial, pack, contents)
            os.sync()
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    return folder


def _fill(partial: Path, pack: Pack, contents: Contents) -> None:
    sources: Sequence[Path] = [
        *(path for path, _ in contents.modules),
        *(path for path, _ in contents.firmware),
    ]
    partial.mkdir(parents=True)
    for source, file in zip(sources, pack.files, strict=True):
        target = partial / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    if contents.copyright is not None:
        shutil.copyfile(contents.copyright, partial / "copyright")
    (partial / MANIFEST).write_bytes(encode(pack))
