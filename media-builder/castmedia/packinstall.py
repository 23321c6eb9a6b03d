"""Puts driver packs into the root of the boot environment."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from castcore.errors import Refused

from castmedia.driverpack import FIRMWARE, check_kernel, check_signature, install_path, needed_modules
from castmedia.modinfo import ModuleFacts, firmware_wanted, module_facts
from castmedia.modules import SUFFIX
from castmedia.packfolder import LoadedPack

FIRMWARE_FOLDER = "usr/lib/firmware"


def own_module(modules: Path) -> ModuleFacts:
    """One of the kernel's own modules below /lib/modules/VERSION: they are built and signed alike."""
    return module_facts(next(iter(sorted((modules / "kernel").rglob("*.ko*")))))


def wanted(packs: Iterable[LoadedPack], table: Collection[str]) -> tuple[str, ...]:
    """Paths of ``table`` (modules.dep) that the modules of ``packs`` need. Raises Refused."""
    names = {SUFFIX.sub("", Path(path).name).replace("-", "_"): path for path in table}
    return needed_modules((loaded.pack for loaded in packs), names)


def install_modules(packs: Iterable[LoadedPack], target: Path, ours: ModuleFacts) -> None:
    """Copy the modules of ``packs`` below ``target`` (/lib/modules/VERSION); depmod has to run after it.

    Raises Refused for a module of another kernel, or one that this kernel would not load.
    """
    for loaded in packs:
        for module in loaded.pack.modules:
            file = loaded.folder / module.file.path
            facts = module_facts(file)
            check_kernel(facts, ours)
            check_signature(facts, ours, loaded.pack.secure_boot)
            place = target / install_path(module)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def install_firmware(packs: Iterable[LoadedPack], root: Path, modules: Path) -> None:
    """Copy firmware into ``root``: all of a pack that has modules, else what ``modules`` there ask for.

    Firmware packages are for hundreds of devices. Raises Refused for a pack of which nothing is wanted.
    """
    packs = tuple(packs)
    asked: frozenset[str] = frozenset()
    if any(not loaded.pack.modules for loaded in packs):
        asked = firmware_wanted(sorted(modules.rglob("*.ko*")))
    for loaded in packs:
        names = [file.path.removeprefix(f"{FIRMWARE}/") for file in loaded.pack.firmware]
        chosen = names if loaded.pack.modules else asked_for(names, asked)
        if names and not chosen:
            raise Refused(
                f"no driver of this boot image asks for the firmware of the pack {loaded.pack.name}",
                hint="leave it out, or `media-builder pxe --profile full`",
            )
        for name in chosen:
            place = root / FIRMWARE_FOLDER / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(loaded.folder / FIRMWARE / name, place)


def asked_for(names: Sequence[str], asked: Collection[str]) -> list[str]:
    """Those of ``names`` that modules ask for: by name, by pattern, or compressed (.xz, .zst)."""
    plain = {name.removesuffix(".xz").removesuffix(".zst"): name for name in names}
    patterns = [pattern for pattern in asked if any(mark in pattern for mark in "*?[")]
    exact = set(plain) & set(asked)
    by_pattern = {one for pattern in patterns for one in fnmatch.filter(plain, pattern)}
    return sorted(plain[one] for one in exact | by_pattern)
