"""The stages that every boot medium is made of: packages, frozen client, boot image, BIOS loader.

Each is cached by its inputs; what differs from medium to medium (settings, menus) is made anew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from castcore import __version__, newc
from castcore.edge import run
from castcore.errors import MissingProgram, NotFound, Refused
from castcore.progress import Progress, ProgressCallback, silent

from castmedia import (
    biosgrub,
    bootroot,
    debianroot,
    driverpack,
    freeze,
    initramfs,
    keymaps,
    launcher,
    mirror,
    modules,
    packfolder,
    packinstall,
)
from castmedia.cache import PARTIAL, StageCache, file_digest, files_digest
from castmedia.recipe import DATA, Profile, Recipe, recipe

HOST_PROGRAMS = ("mmdebstrap", "chroot", "apt-get", "dpkg-deb", "modinfo", "tar")
HOST_HINT = "install what tools/packages.txt lists: make setup"
INITRD = "initrd.img"
# What a boot image is made by, and so of.
_IMAGE_CODE = (bootroot, debianroot, driverpack, initramfs, modules, newc, packinstall)


@dataclass(frozen=True, slots=True)
class Options:
    """What to build and from where; ``mirror`` None takes the host's own, ``refresh`` newer packages.

    ``packs`` are the folders of driver packs.
    """

    cache: Path
    profile: Profile = Profile.FULL
    mirror: str | None = None
    refresh: bool = False
    packs: tuple[Path, ...] = ()
    sources: freeze.Sources = field(default_factory=freeze.Sources.installed)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of all builders; none has a default, so that a recipe can give them."""
    add = parser.add_argument_group("what it is built from").add_argument
    add("--cache", type=Path, metavar="DIR", help=f"finished stages ({default_cache()})")
    add(
        "--profile",
        type=Profile,
        choices=list(Profile),
        help="full (default): every wired NIC and disk controller; vm: what virtual PCs have",
    )
    add(
        "--mirror",
        metavar="LINE",
        help="Debian mirror, a URI or a source line (default: the host's own)",
    )
    add("--refresh", action="store_true", help="fetch the packages again, for their security updates")
    add(
        "--drivers",
        type=Path,
        action="append",
        metavar="DIR",
        help="a driver pack to put in (see media-builder drivers); again for each more",
    )


def options_of(args: argparse.Namespace) -> Options:
    """The options that ``args`` say, after the recipe."""
    cache: Path = args.cache or default_cache()
    packs = tuple(args.drivers or ())
    return Options(cache.resolve(), args.profile or Profile.FULL, args.mirror, args.refresh, packs)


def default_cache() -> Path:
    """Where finished stages are kept unless told otherwise (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleetcast"


def check_host(programs: Sequence[str] = ()) -> None:
    """Return when this host and user can build, and has ``programs`` too.

    Raises Refused, MissingProgram naming all that is missing.
    """
    if os.geteuid() != 0:
        raise Refused(
            "building boot media needs root: it runs Debian's tools by chroot", hint="use sudo"
        )
    missing = [p for p in (*HOST_PROGRAMS, *programs) if run.find(p) is None]
    if not mirror.KEYRING.exists():
        missing.append("debian-archive-keyring")
    if missing:
        raise MissingProgram(f"not installed: {', '.join(missing)}", hint=HOST_HINT)


@contextmanager
def stages(
    options: Options, *, say: Callable[[str], None] = lambda _: None, progress: ProgressCallback = silent
) -> Iterator[Stages]:
    """The stages with the cache held, until the block is left: no other build removes them.

    Raises NoSpace, DiskFailed.
    """
    cache = StageCache(options.cache)
    with cache.locked(lambda: say(f"waiting for another build that uses {options.cache}")):
        if options.refresh:
            cache.forget(Stages.PACKAGES)
        yield Stages(cache, recipe(options.profile), options, say, progress)


@dataclass(frozen=True)
class Stages:
    """Finished stages, made when they are asked for.

    All raise NetworkFailed (packages), NoSpace, and run.ProgramFailed.
    """

    cache: StageCache
    recipe: Recipe
    options: Options
    say: Callable[[str], None]
    progress: ProgressCallback

    PACKAGES = "packages"

    def packages(self) -> Path:
        """The Debian root."""

        def make(folder: Path) -> None:
            source = self.options.mirror or mirror.host_mirror()
            self.say(f"fetching {len(self.recipe.packages)} packages of Debian {self.recipe.suite}")
            debianroot.make_debian_root(
                folder / "root",
                suite=self.recipe.suite,
                packages=self.recipe.packages,
                mirror=source,
                on_line=self._detail("packages"),
            )

        chosen = [self.recipe.suite, self.recipe.packages, self.options.mirror]
        inputs = [_code(debianroot), *chosen]
        return self.cache.stage(self.PACKAGES, inputs, make) / "root"

    def client(self, debian: Path) -> Path:
        """The folder of the frozen client."""

        def make(folder: Path) -> None:
            self.say("freezing the client")
            wheels = self.cache.stage("wheel", freeze.wheel_version(), freeze.fetch_wheel)
            freeze.freeze_client(
                folder,
                debian=debian,
                sources=sources,
                wheels=wheels,
                options=self.recipe.freeze,
                on_line=self._detail("client"),
            )

        sources = self.options.sources
        code = [
            files_digest(folder, freeze.source_files(folder))
            for folder in (sources.castcore, sources.castclient)
        ]
        inputs = [
            _code(freeze),
            _code(launcher),
            debian.parent.name,
            code,
            freeze.wheel_version(),
            repr(self.recipe.freeze),
        ]
        return self.cache.stage("client", inputs, make) / freeze.NAME

    def image(self, debian: Path) -> Path:
        """The initramfs."""

        def make(folder: Path) -> None:
            self.say("making the boot image")
            staging = folder / "root"
            bootroot.assemble(
                staging,
                debian=debian,
                client=client,
                recipe=self.recipe,
                packs=packs,
                about={"version": __version__},
            )
            initramfs.write_initramfs(
                staging, folder / INITRD, packing=self.recipe.packing, progress=self.progress
            )
            shutil.rmtree(staging)

        packs = tuple(map(packfolder.load, self.options.packs))
        for one in packs:
            self.say(f"drivers {one.pack.name}: {driverpack.about(one.pack)}")
        client = self.client(debian)
        inputs = [
            [_code(module) for module in _IMAGE_CODE],
            __version__,
            client.parent.name,
            [self.recipe.programs, self.recipe.files, self.recipe.modules, self.recipe.packing],
            [driverpack.encode(one.pack).decode() for one in packs],
            file_digest(DATA / "init.sh"),
        ]
        return self.cache.stage("image", inputs, make) / INITRD

    def bios_grub(self, debian: Path) -> biosgrub.BiosGrub:
        """GRUB for machines with a BIOS."""
        inputs = [_code(biosgrub), debian.parent.name]
        folder = self.cache.stage("biosgrub", inputs, lambda f: biosgrub.make(f, debian))
        return biosgrub.load(folder)

    def boot_files(self, debian: Path) -> dict[str, tuple[str, Path]]:
        """What the packages have for the boot chain: name when booted, and place, by role."""
        return {f.role: (f.name, _only(debian, f.source)) for f in self.recipe.boot_files}

    def keymap(self, debian: Path, name: str) -> bytes:
        """The binary keymap ``name``, b"" for "". Raises NotFound."""
        return keymaps.binary(debian, name) if name else b""

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder in the cache, gone when the block is left (or at the next build)."""
        with tempfile.TemporaryDirectory(dir=self.cache.root, prefix=PARTIAL) as folder:
            yield Path(folder)

    def _detail(self, step: str) -> Callable[[str], None]:
        return lambda line: self.progress(Progress(step, 0, 0, line[:60]))


def _code(module: ModuleType) -> str:
    # What a stage's own code does is an input of the stage like any other.
    assert module.__file__ is not None
    return file_digest(Path(module.__file__))


def _only(root: Path, pattern: str) -> Path:
    found = sorted(root.glob(pattern))
    if len(found) != 1:
        raise NotFound(
            f"{len(found)} files {pattern} in the packages, one is wanted",
            hint="`media-builder pxe --refresh`",
        )
    return found[0]
