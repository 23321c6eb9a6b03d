"""The root file system of the boot environment, picked file by file out of the Debian root."""

from __future__ import annotations

import lzma
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from castcore import canonical, trust
from castcore.edge import run
from castcore.errors import FleetcastError, NotFound

from castmedia import modules, packinstall
from castmedia.debianroot import MERGED, kernel_version, link_merged
from castmedia.freeze import NAME
from castmedia.packfolder import LoadedPack
from castmedia.recipe import DATA, Packing, Recipe

CLIENT_FOLDER = f"usr/lib/fleetcast/{NAME}"
FOLDERS = ("dev", "etc/fleetcast", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "var/log")
TEXTS = {
    "etc/passwd": "root::0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/hostname": "fleetcast\n",
    "etc/hosts": "127.0.0.1 localhost fleetcast\n::1 localhost\n",
}
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
MODULE_LISTS = ("modules.builtin", "modules.builtin.modinfo", "modules.order")
# What depmod reads or writes and nothing on a target machine does (kmod reads the .bin files).
MODULE_LISTS_READ = ("modules.order", "modules.symbols", "modules.symbols.bin", "modules.dep")
LEAST_SHARED = 4096
SECONDS = 120
LOADED = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
LOST = re.compile(r"^\s*(\S+) => not found$", re.MULTILINE)


@dataclass
class Picker:
    """Copies chosen paths from ``source`` to ``target``, each once, links with what they point to."""

    source: Path
    target: Path
    done: set[str] = field(default_factory=set)

    def glob(self, pattern: str) -> list[str]:
        """Copy all that ``pattern`` names; return their names. Raises NotFound for none."""
        names = sorted(p.relative_to(self.source).as_posix() for p in self.source.glob(pattern))
        # glob overlooks a link whose absolute target exists inside the root only.
        names = names or [pattern] * (self.source / pattern).is_symlink()
        if not names:
            raise NotFound(
                f"no file {pattern} in the packages", hint="the recipe names it: correct that"
            )
        for name in names:
            self.copy(name)
        return names

    def copy(self, name: str) -> None:
        """Copy the file or link ``name`` (relative, or absolute as seen inside the root)."""
        name = real_name(name)
        if name in self.done:
            return
        self.done.add(name)
        source, target = self.source / name, self.target / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            link = str(source.readlink())
            target.symlink_to(link)
            self.copy(str(PurePosixPath("/", name).parent / link))
        else:
            shutil.copyfile(source, target)
            target.chmod(source.stat().st_mode & 0o755)

    def program(self, pattern: str) -> None:
        """Copy the programs or libraries that ``pattern`` names and every library they load."""
        for name in self.glob(pattern):
            command = ["chroot", str(self.source), f"/{LOADER}", "--list", f"/{name}"]
            for library in loaded_libraries(run.run(command, timeout=SECONDS).decode(), name):
                self.copy(library)


def real_name(name: str) -> str:
    """``name`` without leading slash, ``.``, ``..`` and the links of a merged /usr."""
    parts: list[str] = []
    for part in PurePosixPath(name).parts:
        if part == "..":
            parts = parts[:-1]
        elif part not in {"/", "."}:
            parts.append(part)
    if parts and parts[0] in MERGED:
        parts[:1] = MERGED[parts[0]].split("/")
    return "/".join(parts)


def loaded_libraries(shown: str, program: str) -> tuple[str, ...]:
    """The libraries that ``ld.so --list`` has ``shown``. Raises NotFound for a lost one."""
    lost = LOST.findall(shown)
    if lost:
        raise NotFound(f"{program} needs {', '.join(lost)}, which no package of the recipe has")
    return tuple(LOADED.findall(shown))


def assemble(
    staging: Path,
    *,
    debian: Path,
    client: Path,
    recipe: Recipe,
    packs: Sequence[LoadedPack] = (),
    about: dict[str, str],
) -> None:
    """Fill ``staging`` with the boot environment; ``about`` is kept in it for support.

    Raises NotFound when a package no longer has what the recipe names, Refused for a driver pack that
    does not fit, and run.ProgramFailed when the frozen client's self-test fails in the finished root.
    """
    for folder in FOLDERS:
        (staging / folder).mkdir(parents=True, exist_ok=True)
    link_merged_target(staging)
    for name, text in TEXTS.items():
        (staging / name).write_text(text)
    shutil.copyfile(DATA / "init.sh", staging / "init")
    (staging / "init").chmod(0o755)
    picker = Picker(debian, staging)
    for pattern in recipe.programs:
        picker.program(pattern)
    for pattern in recipe.files:
        picker.glob(pattern)
    _link_applets(staging)
    version = kernel_version(debian)
    _pick_modules(picker, version, recipe, packs)
    shutil.copytree(client, staging / CLIENT_FOLDER, symlinks=True)
    share_equal_files(staging)
    build = canonical.encode(about | {"kernel": version})
    (staging / "etc/fleetcast/build.json").write_bytes(build)
    self_test(staging)


def self_test(staging: Path) -> None:
    """Run the client's self-test inside ``staging``. Raises FleetcastError with what it lacks."""
    command = ["chroot", str(staging), f"/{CLIENT_FOLDER}/{NAME}", "--self-test"]
    try:
        run.run(command, timeout=SECONDS)
    except run.ProgramFailed as error:
        # PyInstaller's own last line only says that there was an exception.
        said = [line for line in error.stderr.splitlines() if not line.startswith("[PYI-")]
        reason = said[-1] if said else error.what
        raise FleetcastError(
            f"the frozen client fails its self-test in the boot root: {reason}",
            hint="a package, library or hidden import is missing in data/recipe.toml",
        ) from error


def link_merged_target(staging: Path) -> None:
    """The links of a merged /usr, for a root that is just begun."""
    for folder in MERGED.values():
        (staging / folder).mkdir(parents=True, exist_ok=True)
    link_merged(staging)


def _link_applets(staging: Path) -> None:
    # A real program goes before busybox's small one of the same name.
    listed = run.run(["chroot", str(staging), "/usr/bin/busybox", "--list"], timeout=SECONDS).decode()
    for applet in listed.split():
        places = [staging / folder / applet for folder in ("usr/bin", "usr/sbin")]
        if not any(p.is_symlink() or p.exists() for p in places):
            places[0].symlink_to("busybox")


def _pick_modules(picker: Picker, version: str, recipe: Recipe, packs: Sequence[LoadedPack]) -> None:
    folder = f"usr/lib/modules/{version}"
    table = modules.parse_dependencies((picker.source / folder / "modules.dep").read_text())
    more = packinstall.wanted(packs, table)
    for module in modules.select(table, recipe.modules, more):
        picker.copy(f"{folder}/{module}")
    for name in MODULE_LISTS:
        picker.copy(f"{folder}/{name}")
    target = picker.target / folder
    if packs:
        packinstall.install_modules(packs, target, packinstall.own_module(picker.source / folder))
        packinstall.install_firmware(packs, picker.target, target)
    if recipe.packing is Packing.XZ:
        _unpack_modules(target)
    run.run(["chroot", str(picker.target), "/usr/sbin/depmod", version], timeout=SECONDS)
    for name in MODULE_LISTS_READ:
        (target / name).unlink()


def _unpack_modules(folder: Path) -> None:
    """Packed all together they are a sixth smaller than each by itself; they stay signed as they are."""
    for path in sorted(folder.rglob("*.ko.xz")):
        path.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
        path.unlink()


def share_equal_files(root: Path) -> None:
    """Make links of files that are in ``root`` already: the frozen client brings libraries of its own,
    and what is there twice is twice in memory.
    """
    first: dict[bytes, Path] = {}
    # Backwards, so that of a library the system's own file stays.
    found = (p for p in sorted(root.rglob("*"), reverse=True) if p.is_file() and not p.is_symlink())
    for path in found:
        data = path.read_bytes()
        if len(data) < LEAST_SHARED:
            continue
        kept = first.setdefault(trust.digest(data), path)
        if kept is not path:
            kept.chmod(kept.stat().st_mode | path.stat().st_mode)
            path.unlink()
            path.symlink_to("/" + kept.relative_to(root).as_posix())
