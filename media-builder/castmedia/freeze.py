"""The stage "client": castclient frozen by PyInstaller inside the Debian root.

Frozen there, the client brings Debian 13's Python and libraries along, whatever the host runs.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from castcore.edge import run
from castcore.errors import NotFound

from castmedia.recipe import Freeze

NAME = "fleetcast-client"
# Where PyInstaller puts all that is no program.
INSIDE = "_internal"
LAUNCHER = Path(__file__).resolve().parent / "launcher.py"
# Debian 13 has no package of it: the wheel of the very version this installation is pinned to.
WHEEL = "blake3"
PYTHON = "3.13"
PLATFORMS = ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64")
WHEEL_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Sources:
    """The folders of our packages that the client consists of."""

    castcore: Path
    castclient: Path

    @classmethod
    def installed(cls) -> Sources:
        """The packages of this installation. Raises NotFound."""
        return cls(_package("castcore"), _package("castclient"))


def wheel_version() -> str:
    """The version of the wheel that a frozen client gets."""
    return importlib.metadata.version(WHEEL)


def fetch_wheel(folder: Path) -> None:
    """Download the wheel for Debian 13's Python into ``folder``. Raises run.ProgramFailed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--no-deps", "--dest", str(folder)]
    command += ["--implementation=cp", f"--python-version={PYTHON}"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    # The operator's own pip configuration says where packages come from.
    ours = {k: v for k, v in os.environ.items() if k == "HOME" or k.startswith("PIP_")}
    run.run([*command, f"{WHEEL}=={wheel_version()}"], timeout=WHEEL_SECONDS, extra_env=ours)


def source_files(folder: Path) -> list[Path]:
    """The files of a package that belong into the frozen client, sorted."""
    found = (p for p in folder.rglob("*") if p.is_file())
    return sorted(p for p in found if "__pycache__" not in p.parts and p.suffix not in {".md", ".pyc"})


def freeze_client(
    output: Path,
    *,
    debian: Path,
    sources: Sources,
    wheels: Path,
    options: Freeze,
    on_line: Callable[[str], None],
) -> None:
    """Freeze the client inside the root ``debian``; its folder becomes ``output``/fleetcast-client.

    Raises run.ProgramFailed with PyInstaller's last lines, NotFound for a recipe that has rotted.
    """
    inside = Path("/tmp/fleetcast-freeze")
    work = debian / inside.relative_to("/")
    shutil.rmtree(work, ignore_errors=True)
    try:
        _copy_sources(work / "src", sources, wheels)
        libraries = {"LD_LIBRARY_PATH": ":".join(options.library_folders)}
        environment = libraries | {"PYTHONPATH": str(inside / "src")} | _REPRODUCIBLE
        command = ["chroot", str(debian), *_pyinstaller(inside, options)]
        run.run_lines(command, on_line, extra_env=environment)
        _remove(work / "out" / NAME / INSIDE, options.removed)
        shutil.move(work / "out" / NAME, output / NAME)
    finally:
        shutil.rmtree(work, ignore_errors=True)


_REPRODUCIBLE = {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "SOURCE_DATE_EPOCH": "1577836800",
}


def _pyinstaller(inside: Path, options: Freeze) -> list[str]:
    command = ["python3", "-m", "PyInstaller", "--onedir", "--noconfirm", "--log-level=ERROR"]
    command += [f"--name={NAME}", f"--distpath={inside}/out", f"--workpath={inside}/work"]
    # Modules as files, not in an archive of their own: the initramfs compresses all of it, once.
    command += [f"--specpath={inside}", f"--paths={inside}/src", "--debug=noarchive"]
    command += ["--optimize=2"]
    # Of castcore only what the client imports; of the client all, it may find modules by name.
    command += ["--collect-submodules=castclient", "--collect-data=castclient"]
    command += [w for name in options.hidden_imports for w in ("--hidden-import", name)]
    command += [w for name in options.excluded_modules for w in ("--exclude-module", name)]
    return [*command, f"{inside}/src/{LAUNCHER.name}"]


def _remove(folder: Path, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        found = list(folder.glob(pattern))
        if not found:
            raise NotFound(
                f"the frozen client has no {pattern}", hint="the recipe names it: correct that"
            )
        for path in found:
            path.unlink()


def _copy_sources(target: Path, sources: Sources, wheels: Path) -> None:
    for folder in (sources.castcore, sources.castclient):
        for file in source_files(folder):
            copied = target / folder.name / file.relative_to(folder)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copied)
    shutil.copyfile(LAUNCHER, target / LAUNCHER.name)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)


def _package(name: str) -> Path:
    # The layers forbid importing the client here, and nothing of it is run: only its files are wanted.
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise NotFound(f"the Python package {name} is not installed", hint="run tools/setup")
    return Path(spec.origin).resolve().parent
