"""A driver pack: a folder with ``pack.json``, ``modules/`` and ``firmware/``; here what it says, pure.

A pack is for one kernel. What a module must fulfil to be taken is judged here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from castcore.errors import BadPacket, Refused
from castcore.plain import from_plain, to_plain

from castmedia.modinfo import ModuleFacts

FORMAT = 1
MANIFEST = "pack.json"
MODULES, FIRMWARE = "modules", "firmware"
NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}")
SUFFIXES = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")


class SecureBoot(StrEnum):
    """Why the pack's modules will be loaded: the kernel's own key signed them (or there are none), the
    machines have the signer's key enrolled (mokutil), or Secure Boot is off there.
    """

    KERNEL = "kernel"
    ENROLLED = "enrolled"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file of the pack: ``path`` below its folder, ``digest`` its BLAKE3 in hex."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class PackedModule:
    """A kernel module of the pack and what modinfo says of it."""

    name: str
    file: PackedFile
    ids: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    licence: str = ""
    signer: str = ""


@dataclass(frozen=True, slots=True)
class Pack:
    """The manifest: ``kernel`` is "" for a pack without modules, ``source`` says where it came from."""

    name: str
    kernel: str
    licence: str
    source: str
    secure_boot: SecureBoot
    modules: tuple[PackedModule, ...] = ()
    firmware: tuple[PackedFile, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The devices it is for, as modalias patterns."""
        return tuple(dict.fromkeys(i for module in self.modules for i in module.ids))

    @property
    def files(self) -> tuple[PackedFile, ...]:
        """Every file that must be there."""
        return (*(module.file for module in self.modules), *self.firmware)


def encode(pack: Pack) -> bytes:
    """The manifest's bytes; equal packs, equal bytes."""
    value = {"format": FORMAT, **to_plain(pack)}
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def parse(data: bytes) -> Pack:
    """The pack that a manifest describes. Raises Refused, naming what does not fit."""
    try:
        value: Any = json.loads(data)
    except ValueError as error:
        raise Refused(f"{MANIFEST} is no JSON: {error}") from None
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise Refused(f"{MANIFEST} is not of format {FORMAT}")
    try:
        pack = from_plain(Pack, value)
    except BadPacket as error:
        raise Refused(f"{MANIFEST} is damaged: {error.what}") from None
    for file in pack.files:
        folder, _, rest = file.path.partition("/")
        if folder not in (MODULES, FIRMWARE) or not rest or ".." in rest.split("/"):
            raise Refused(f"{MANIFEST} names {file.path!r}, which is no file of a pack")
    return pack


def check_name(name: str) -> str:
    """``name`` if a pack may be called so. Raises Refused."""
    if not NAME.fullmatch(name):
        raise Refused(
            f"a pack cannot be called {name!r}",
            hint="lower-case letters, digits, . _ + -, at most 64: `media-builder drivers add --name`",
        )
    return name


def check_kernel(module: ModuleFacts, ours: ModuleFacts) -> None:
    """Refuse a module that was not built for the kernel that ``ours``, one of its own modules, is of."""
    if module.vermagic != ours.vermagic:
        raise Refused(
            f"the module {module.name} is for another kernel: {module.vermagic}, not {ours.vermagic}",
            hint=f"take the vendor's for {ours.kernel}, or build it with linux-headers-{ours.kernel}",
        )


def check_signature(module: ModuleFacts, ours: ModuleFacts, secure_boot: SecureBoot) -> None:
    """Refuse a module that the kernel would not load on machines as ``secure_boot`` says they are.

    The kernel trusts the key its own modules were signed with and what is enrolled in the firmware
    (module signing, Linux Documentation/admin-guide/module-signing.rst; lockdown under Secure Boot).
    """
    if secure_boot is SecureBoot.OFF or (module.key and module.key == ours.key):
        return
    if not module.signer:
        raise Refused(
            f"the module {module.name} is not signed, so a kernel under Secure Boot will not load it",
            hint="sign it and enrol your key on the machines (`media-builder drivers add"
            " --secure-boot enrolled`), or, with Secure Boot off, `media-builder drivers add"
            " --secure-boot off`",
        )
    if secure_boot is SecureBoot.KERNEL:
        raise Refused(
            f"the module {module.name} is signed by {module.signer!r} (key {module.key}), which Debian's"
            f" kernel does not trust: its own modules are signed by {ours.signer!r}",
            hint="if that key is enrolled on the machines (mokutil), say so: `media-builder drivers"
            " add --secure-boot enrolled`",
        )


def loads_where(secure_boot: SecureBoot) -> str:
    """On which machines a pack's modules load, for people."""
    return {
        SecureBoot.KERNEL: "on every machine",
        SecureBoot.ENROLLED: "under Secure Boot only where the signer's key is enrolled",
        SecureBoot.OFF: "only where Secure Boot is off",
    }[secure_boot]


def install_path(module: PackedModule) -> str:
    """Where the module goes below /lib/modules/VERSION; depmod prefers ``updates`` to ``kernel``."""
    return f"updates/fleetcast/{module.file.path.removeprefix(MODULES + '/')}"


def needed_modules(packs: Iterable[Pack], names: Mapping[str, str]) -> tuple[str, ...]:
    """The kernel's own modules (paths of ``names`` by module name) that modules of ``packs`` need.

    Raises Refused for one that is nowhere.
    """
    packs = tuple(packs)
    own = {module.name for pack in packs for module in pack.modules}
    found = []
    for pack in packs:
        for module in pack.modules:
            for needed in module.needs:
                if needed not in own and needed not in names:
                    raise Refused(
                        f"the module {module.name} of the pack {pack.name} needs {needed}, which neither"
                        " the kernel nor a pack has",
                        hint="add it to the pack",
                    )
                found += [names[needed]] if needed not in own else []
    return tuple(dict.fromkeys(found))


def about(pack: Pack) -> str:
    """One line on ``pack``."""
    parts = []
    if pack.modules:
        names = ", ".join(module.name for module in pack.modules)
        parts.append(
            f"{names} for {len(pack.ids)} ids, kernel {pack.kernel}, {loads_where(pack.secure_boot)}"
        )
    if pack.firmware:
        parts.append(f"{len(pack.firmware)} firmware files")
    return "; ".join(parts)
