"""Makes a driver pack: gathers a source's modules and firmware, judges them, writes the folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from castcore.edge import run
from castcore.errors import Refused
from castcore.progress import Progress, ProgressCallback

from castmedia import driverpack, packfolder, packinstall, packsources
from castmedia.debianroot import kernel_version
from castmedia.driverpack import Pack, SecureBoot
from castmedia.modinfo import ModuleFacts
from castmedia.packfolder import Contents, LoadedPack
from castmedia.stages import HOST_HINT, Options, check_host, stages

PROGRAMS = ("dpkg-deb", "modinfo")


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall become a pack: ``name`` and ``licence`` "" are found out."""

    source: str
    name: str = ""
    licence: str = ""
    secure_boot: SecureBoot = SecureBoot.KERNEL
    replace: bool = False


def make(
    drivers: Path,
    wish: Wish,
    options: Options,
    *,
    say: Callable[[str], None],
    progress: ProgressCallback,
) -> LoadedPack:
    """Make the pack that ``wish`` describes below ``drivers``, for the kernel of the builder's packages.

    Raises Refused (source to compile, another kernel, a signature that is not trusted, not root),
    NotFound, MissingProgram, NetworkFailed, NoSpace.
    """
    check_host()
    with stages(options, say=say, progress=progress) as made:
        debian = made.packages()
        suite = made.recipe.suite
    version = kernel_version(debian)
    ours = packinstall.own_module(debian / "usr/lib/modules" / version)
    return gather(drivers, wish, ours, suite=suite, mirror=options.mirror, progress=progress)


def gather(
    drivers: Path,
    wish: Wish,
    ours: ModuleFacts,
    *,
    suite: str,
    mirror: str | None,
    progress: ProgressCallback,
) -> LoadedPack:
    """The same for the kernel that ``ours`` is a module of; needs no root for files."""
    run.require(PROGRAMS, hint=HOST_HINT)
    name = driverpack.check_name(wish.name or default_name(wish.source))

    def on_line(line: str) -> None:
        progress(Progress("package", 0, 0, line[:60]))

    with packsources.unpacked(wish.source, suite=suite, mirror=mirror, on_line=on_line) as place:
        contents = packsources.collected(place, ours.kernel)
        for _, facts in contents.modules:
            driverpack.check_kernel(facts, ours)
            driverpack.check_signature(facts, ours, wish.secure_boot)
        pack = described(name, wish, contents, ours)
        folder = packfolder.write(drivers, pack, contents, replace=wish.replace)
    return LoadedPack(folder, pack)


def described(name: str, wish: Wish, contents: Contents, ours: ModuleFacts) -> Pack:
    """The manifest of a new pack. Raises Refused when its licence is unknown."""
    modules, firmware = packfolder.packed(contents)
    said = dict.fromkeys(module.licence for module in modules if module.licence)
    licence = wish.licence or ", ".join(said) or ("see copyright" if contents.copyright else "")
    if not licence:
        raise Refused(f"the licence of {wish.source} is not known", hint="say it with --licence")
    trusted = all(facts.key and facts.key == ours.key for _, facts in contents.modules)
    return Pack(
        name,
        ours.kernel if modules else "",
        licence,
        os.path.basename(wish.source.rstrip("/")),
        SecureBoot.KERNEL if trusted else wish.secure_boot,
        modules,
        firmware,
    )


def default_name(source: str) -> str:
    """A pack's name from where it comes: a package's without version, a file's without suffix."""
    base = os.path.basename(source.rstrip("/"))
    base = base.split("_")[0] if base.endswith(".deb") else re.sub(r"\.ko(\.\w+)?$", "", base)
    return base.lower()
