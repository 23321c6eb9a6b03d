"""Where a driver pack's contents come from: a Debian package, a folder, a module; built ones only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from castcore.edge import run
from castcore.errors import NotFound, Refused

from castmedia import mirror as mirrors
from castmedia.driverpack import SUFFIXES
from castmedia.modinfo import module_facts
from castmedia.packagefetch import fetch_package
from castmedia.packfolder import Contents

UNPACK_SECONDS = 300
COMPONENTS = ("main", "contrib", "non-free", "non-free-firmware")
FIRMWARE_FOLDERS = ("lib/firmware", "usr/lib/firmware", "firmware")
SOURCE_FILES = (".c", ".h")


@contextmanager
def unpacked(
    source: str, *, suite: str, mirror: str | None, on_line: Callable[[str], None]
) -> Iterator[Path]:
    """The folder or module file that ``source`` names, or what the package of that file or name holds.

    Raises NotFound (no such file), NetworkFailed (no package of that name can be fetched), Refused.
    """
    path = Path(source)
    if path.exists() and path.suffix != ".deb":
        yield path
        return
    if "/" in source and not path.exists():
        raise NotFound(f"there is no {source}")
    with TemporaryDirectory(prefix="fleetcast-pack-") as scratch:
        folder = Path(scratch) / "root"
        if path.exists():
            try:
                run.run(["dpkg-deb", "-x", source, str(folder)], timeout=UNPACK_SECONDS)
            except run.ProgramFailed as error:
                raise Refused(f"{source} is no Debian package", hint=error.stderr[-200:]) from None
        else:
            place = mirror or mirrors.host_mirror()
            fetch_package(
                folder, source, suite=suite, components=COMPONENTS, source=place, on_line=on_line
            )
        yield folder


def collected(place: Path, kernel: str) -> Contents:
    """The modules (for ``kernel``, where there are several kernels' below lib/modules) and firmware in
    ``place``. Raises Refused for source that would have to be compiled, and for nothing at all.
    """
    if place.is_file():
        return Contents(((place, module_facts(place)),), ())
    files = sorted(p for p in place.rglob("*") if p.is_file() and not p.is_symlink())
    modules = [p for p in files if p.name.endswith(SUFFIXES) and _of_kernel(p, place, kernel)]
    firmware = tuple(_firmware(place))
    if not modules:
        _refuse_source(place, files, has_firmware=bool(firmware))
    if not modules and not firmware:
        raise Refused(
            f"{place} has neither a kernel module (.ko) for {kernel} nor firmware (firmware/)",
            hint="a pack is made of built modules and of firmware files",
        )
    copyrights = [p for p in files if p.name == "copyright" and "doc" in p.parts]
    return Contents(
        tuple((p, module_facts(p)) for p in modules), firmware, copyrights[0] if copyrights else None
    )


def _of_kernel(path: Path, place: Path, kernel: str) -> bool:
    parts = path.relative_to(place).parts
    at = next((n for n, part in enumerate(parts[:-2]) if parts[n : n + 2] == ("lib", "modules")), None)
    return at is None or parts[at + 2] == kernel


def _firmware(place: Path) -> Iterator[tuple[Path, str]]:
    seen = set()
    for name in FIRMWARE_FOLDERS:
        folder = place / name
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            inside = path.relative_to(folder).as_posix()
            if inside not in seen and path.resolve().is_relative_to(place.resolve()):
                seen.add(inside)
                yield path, inside


def _refuse_source(place: Path, files: list[Path], *, has_firmware: bool) -> None:
    dkms = any(p.name == "dkms.conf" for p in files)
    if dkms or (not has_firmware and any(p.suffix in SOURCE_FILES for p in files)):
        what = "a DKMS source package" if dkms else "source"
        raise Refused(
            f"{place.name} is {what}: its modules would have to be compiled on every target machine, "
            "which has no compiler and, under Secure Boot, would not load what it built",
            hint="build the module once for the boot image's kernel, sign it, and add the .ko",
        )
