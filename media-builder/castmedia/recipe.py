"""The recipe of the boot medium: ``data/recipe.toml`` as frozen values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent / "data"


class Profile(StrEnum):
    """How much hardware the boot medium knows, spelled as on the command line."""

    FULL = "full"
    VM = "vm"


class Packing(StrEnum):
    """How an initramfs is compressed: xz is a tenth smaller, zstd unpacks ten times as fast."""

    XZ = "xz"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class BootFile:
    """A file of the boot chain taken from a package as it is: its role, glob, and name in the tree."""

    role: str
    source: str
    name: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """What PyInstaller is told beyond the client's own imports, and files ``removed`` afterwards."""

    hidden_imports: tuple[str, ...]
    excluded_modules: tuple[str, ...]
    removed: tuple[str, ...]
    library_folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The whole recipe for one profile; ``modules`` are the patterns of :mod:`castmedia.modules`."""

    suite: str
    packages: tuple[str, ...]
    boot_files: tuple[BootFile, ...]
    programs: tuple[str, ...]
    files: tuple[str, ...]
    modules: tuple[str, ...]
    packing: Packing
    freeze: Freeze


def parse_recipe(text: str, profile: Profile) -> Recipe:
    """The recipe in ``text`` for ``profile``. Raises KeyError or TOMLDecodeError: our own mistake."""
    data: Mapping[str, Any] = tomllib.loads(text)
    boot_root, modules, freeze = data["boot_root"], data["modules"], data["freeze"]
    return Recipe(
        suite=data["suite"],
        packages=tuple(data["packages"]),
        boot_files=tuple(BootFile(role, *where) for role, where in data["boot_files"].items()),
        programs=(*boot_root["programs"], *boot_root[f"programs_{profile.value}"]),
        files=tuple(boot_root["files"]),
        modules=(*modules["common"], *modules[profile.value]),
        packing=Packing(data["packing"][profile.value]),
        freeze=Freeze(
            tuple(freeze["hidden_imports"]),
            tuple(freeze["excluded_modules"]),
            tuple(freeze["removed"]),
            tuple(freeze["library_folders"]),
        ),
    )


def recipe(profile: Profile) -> Recipe:
    """The recipe that comes with Fleetcast."""
    return parse_recipe((DATA / "recipe.toml").read_text(), profile)
