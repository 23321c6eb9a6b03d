"""Builds the PXE tree: packages, frozen client, boot image, tree; each stage cached by its inputs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from castcore import __version__, newc
from castcore.edge import run
from castcore.errors import MissingProgram, NotFound, Refused
from castcore.progress import Progress, ProgressCallback, silent

from castmedia import bootroot, debianroot, freeze, initramfs, launcher, mirror, modules, tree
from castmedia.cache import StageCache, file_digest, files_digest
from castmedia.recipe import DATA, Profile, Recipe, recipe

HOST_PROGRAMS = ("mmdebstrap", "chroot", "apt-get", "dpkg-deb", "tar")
HOST_HINT = "install what tools/packages.txt lists: make setup"
INITRD = "initrd.img"


@dataclass(frozen=True, slots=True)
class Options:
    """What to build and from where; ``mirror`` None takes the host's own, ``refresh`` newer packages."""

    cache: Path
    profile: Profile = Profile.FULL
    mirror: str | None = None
    refresh: bool = False
    sources: freeze.Sources = field(default_factory=freeze.Sources.installed)


def build(
    output: Path,
    options: Options,
    *,
    say: Callable[[str], None] = lambda _: None,
    progress: ProgressCallback = silent,
) -> dict[str, tree.TreeFile]:
    """Make the PXE tree in ``output``; return its files by role.

    Raises Refused (not root; ``output`` is something else), MissingProgram naming all that is
    missing, NetworkFailed, NoSpace, and run.ProgramFailed when the client cannot be frozen.
    """
    chosen = recipe(options.profile)
    check_host()
    tree.check_output(output, {INITRD, *(file.name for file in chosen.boot_files)})
    cache = StageCache(options.cache)
    with cache.locked(lambda: say(f"waiting for another build that uses {options.cache}")):
        if options.refresh:
            cache.forget(_Stages.PACKAGES)
        stages = _Stages(cache, chosen, options, say, progress)
        debian = stages.packages()
        image = stages.image(debian, stages.client(debian))
        files = {f.role: (f.name, _only(debian, f.source)) for f in chosen.boot_files}
        return tree.write_tree(output, files | {"initrd": (INITRD, image / INITRD)})


def check_host() -> None:
    """Return when this host and user can build. Raises Refused, MissingProgram naming all missing."""
    if os.geteuid() != 0:
        raise Refused(
            "building boot media needs root: it runs Debian's tools by chroot", hint="use sudo"
        )
    missing = [program for program in HOST_PROGRAMS if run.find(program) is None]
    if not mirror.KEYRING.exists():
        missing.append("debian-archive-keyring")
    if missing:
        raise MissingProgram(f"not installed: {', '.join(missing)}", hint=HOST_HINT)


@dataclass(frozen=True)
class _Stages:
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

    def image(self, debian: Path, client: Path) -> Path:
        """The folder with the initramfs."""

        def make(folder: Path) -> None:
            self.say("making the boot image")
            staging = folder / "root"
            bootroot.assemble(
                staging, debian=debian, client=client, recipe=self.recipe, about={"version": __version__}
            )
            initramfs.write_initramfs(staging, folder / INITRD, progress=self.progress)
            shutil.rmtree(staging)

        inputs = [
            [_code(module) for module in (bootroot, debianroot, initramfs, modules, newc)],
            __version__,
            client.parent.name,
            [self.recipe.programs, self.recipe.files, self.recipe.modules],
            file_digest(DATA / "init.sh"),
        ]
        return self.cache.stage("image", inputs, make)

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
            f"{len(found)} files {pattern} in the packages, one is wanted", hint="use --refresh"
        )
    return found[0]
