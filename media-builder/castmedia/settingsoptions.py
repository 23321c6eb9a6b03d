"""The settings that every builder takes, as options; and the small initrd that carries them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from castcore import newc
from castcore.bootsettings import (
    HOOKS_FOLDER,
    KEYMAP_FILE,
    SETTINGS_FILE,
    BadSettings,
    BootSettings,
    Moment,
    hook_place,
)
from castcore.errors import NotFound

from castmedia.bootroot import real_name

# Every machine keeps the archive in memory beside what is unpacked from it.
MOST_BYTES = 512 << 20
# A server's word and ours; an extra file in their place would be half of two things.
TAKEN = (SETTINGS_FILE, KEYMAP_FILE, "/etc/fleetcast/trust.json", "/etc/fleetcast/rules.toml", "/init")


@dataclass(frozen=True, slots=True)
class ExtraFile:
    """A file of this machine that the boot environment has at ``place`` (absolute)."""

    place: str
    source: Path


@dataclass(frozen=True, slots=True)
class Hook:
    """A program of this machine that the boot environment runs at ``moment``."""

    moment: Moment
    source: Path

    @property
    def place(self) -> str:
        """Where it lies below HOOKS_FOLDER. Raises BadSettings for a name that is not plain."""
        return hook_place(self.moment, self.source.name)


@dataclass(frozen=True, slots=True)
class Choices:
    """All that the options say: settings, extra files, hooks."""

    settings: BootSettings
    files: tuple[ExtraFile, ...] = ()
    hooks: tuple[Hook, ...] = ()

    @property
    def says_nothing(self) -> bool:
        """Whether a medium without them would be the same."""
        return self == Choices(BootSettings())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; none has a default, so that a recipe can give what they do not."""
    add = parser.add_argument_group("what the medium tells its client").add_argument
    add("--recipe", type=Path, metavar="FILE", help="TOML file with any of these options as keys")
    add("--address", metavar="IP/PREFIX", help="static address (default: DHCP)")
    add("--gateway", metavar="IP", help="default route of the static address")
    add("--vlan", type=int, metavar="N", help="VLAN to use, tagged")
    add("--nic", metavar="NAME|MAC", help="the one network card to use (default: all wired ones)")
    add("--server", metavar="URL", help="the cast server (default: looked for)")
    add("--trust", metavar="KEY", help="the server's key, 64 hex digits: no other server is followed")
    add("--keymap", metavar="NAME", help="keyboard layout of the consoles: us, de, fr, jp106 ...")
    add(
        "--serial",
        action="append",
        metavar="CONSOLE",
        help="serial console, as ttyS0,115200; repeatable",
    )
    add("--file", action="append", metavar="PLACE=FILE", help="a file or folder to add; repeatable")
    moments = "|".join(Moment)
    add(
        "--hook", action="append", metavar="MOMENT=FILE", help=f"program to run at {moments}; repeatable"
    )


def chosen(args: argparse.Namespace) -> Choices:
    """What ``args`` say (after :func:`castmedia.mediarecipe.apply`). Raises BadSettings, NotFound."""
    hooks = tuple(_hook(text) for text in args.hook or ())
    files = tuple(_file(text) for text in args.file or ())
    settings = BootSettings(
        address=args.address or "",
        gateway=args.gateway or "",
        vlan=args.vlan or 0,
        nic=args.nic or "",
        server=args.server or "",
        key=args.trust or "",
        keymap=args.keymap or "",
        serial=tuple(args.serial or ()),
        hooks=tuple(hook.place for hook in hooks),
    )
    if len(settings.hooks) < len(hooks):
        raise BadSettings("two hooks of one moment have the same name", hint="rename one of the files")
    return Choices(settings, files, hooks)


def archive(
    settings: BootSettings,
    extra_files: Sequence[ExtraFile] = (),
    hooks: Sequence[Hook] = (),
    *,
    keymap: bytes = b"",
) -> bytes:
    """The initrd that carries all this; equal inputs give equal bytes, whole blocks of 512.

    It is unpacked over the boot image, so an extra file replaces one of that. Raises BadSettings,
    NotFound for a file that cannot be read.
    """
    places = {hook.place: _read(hook.source) for hook in hooks}
    settings = replace(settings, hooks=tuple(places))
    members = {
        real_name(SETTINGS_FILE): newc.regular(real_name(SETTINGS_FILE), settings.encode().encode())
    }
    if keymap:
        members[real_name(KEYMAP_FILE)] = newc.regular(real_name(KEYMAP_FILE), keymap)
    for place, data in places.items():
        name = real_name(f"{HOOKS_FOLDER}/{place}")
        members[name] = newc.regular(name, data, 0o755)
    for member in _extra_members(extra_files):
        members[member.name] = member
    data = b"".join(newc.archive([*_folders(members), *(members[name] for name in sorted(members))]))
    if len(data) > MOST_BYTES:
        raise BadSettings(f"the extra files have {len(data)} bytes, {MOST_BYTES} are the most")
    return data


def _extra_members(files: Iterable[ExtraFile]) -> Iterator[newc.Member]:
    for file in files:
        for place, path in _below(file):
            name = real_name(place)
            if not name or f"/{name}" in TAKEN:
                raise BadSettings(f"no extra file can be put at {place}")
            executable = path.stat().st_mode & 0o111
            yield newc.regular(name, _read(path), 0o755 if executable else 0o644)


def _below(file: ExtraFile) -> Iterator[tuple[str, Path]]:
    """Every file of ``file`` with its place: itself, or all in a folder; links are followed."""
    if not file.source.is_dir():
        yield file.place, file.source
        return
    for path in sorted(p for p in file.source.rglob("*") if not p.is_dir()):
        yield f"{file.place}/{path.relative_to(file.source).as_posix()}", path


def _folders(members: Iterable[str]) -> list[newc.Member]:
    """The folders that ``members`` lie in, parents first."""
    parents = {str(p) for name in members for p in PurePosixPath(name).parents if p.name}
    return [newc.directory(name) for name in sorted(parents)]


def _hook(text: str) -> Hook:
    moment, _, path = text.partition("=")
    if not path or moment not in set(Moment):
        raise BadSettings(f"hook {text!r} is no MOMENT=FILE", hint=f"moments are {', '.join(Moment)}")
    hook = Hook(Moment(moment), _existing(Path(path)))
    if hook.source.is_dir():
        raise BadSettings(f"hook {text!r} is a folder, not a program")
    return hook


def _file(text: str) -> ExtraFile:
    place, _, path = text.partition("=")
    if not path or not place.startswith("/"):
        raise BadSettings(
            f"file {text!r} is no PLACE=FILE", hint="the place is absolute: /etc/motd=./motd.txt"
        )
    return ExtraFile(place, _existing(Path(path)))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise NotFound(f"{path} does not exist")
    return path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from None
