"""The boot files of one interface: the PXE tree's, and those that are the same for every machine."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Protocol

from castcore.boot import BootPlace, ClientBoot, bootnames, scripts, trust_archive
from castcore.errors import BadImage, DiskFailed, NotFound
from castcore.trust import digest

from castserver.services.steadyfile import HeldFile

TREE_FILE = "tree.json"
TREE_FORMAT = 1
HINT = "make it with `media-builder pxe --output DIR`"
# Served by their hash too.
BY_HASH = (
    bootnames.KERNEL,
    bootnames.INITRD,
    bootnames.SETTINGS,
    bootnames.KERNEL_ARM64,
    bootnames.INITRD_ARM64,
)
BINARY = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"


class Caching(StrEnum):
    """What may be kept of an answer (RFC 9111 section 5.2.2, RFC 8246)."""

    # Under this name there is never anything else: it holds the hash.
    FOR_EVER = "public, max-age=31536000, immutable"
    ASK_AGAIN = "no-cache"
    NEVER = "no-store"


@dataclass(frozen=True)
class BootFile:
    """One file to serve: its size in bytes and a way to read it from the start (raises OSError).

    ``tag`` is its strong validator ("": none). ``quiet``: its transfers are not told. ``sent`` is called
    when the machine has got an answer with bytes of it whole.
    """

    size: int
    open: Callable[[], IO[bytes]]
    tag: str = ""
    caching: Caching = Caching.NEVER
    media_type: str = BINARY
    mac: str = ""
    quiet: bool = False
    sent: Callable[[], None] | None = None


class Offered(Protocol):
    """What TFTP and HTTP look files up in."""

    @property
    def tftp(self) -> Mapping[str, BootFile]:
        """What TFTP serves, by canonical name."""

    def over_http(self, name: str) -> BootFile | None:
        """The file that HTTP serves under that canonical ``name``; None: there is none."""


@dataclass(frozen=True)
class BootFiles:
    """All that is served, by canonical name; nothing else exists for a client.

    ``own`` makes what HTTP serves for each request, None for what there is not.
    """

    tftp: Mapping[str, BootFile]
    http: Mapping[str, BootFile]
    own: Callable[[str], BootFile | None] = lambda _: None
    close: Callable[[], None] = lambda: None

    def over_http(self, name: str) -> BootFile | None:
        """The file with that canonical ``name``; None: there is none."""
        return self.http.get(name) or self.own(name)


@dataclass(frozen=True)
class LoadedTree:
    """A PXE tree: its files, and what it takes to boot our client with them."""

    files: BootFiles
    client: ClientBoot


def load(
    tree: Path,
    place: BootPlace,
    *,
    server_url: str,
    server_key: bytes,
    extra: str,
    rules: bytes = b"",
) -> LoadedTree:
    """The files of the PXE ``tree`` with our scripts; ``rules`` is the clients' rule file, if any.

    They are held open until ``files.close``. Raises NotFound, BadImage, DiskFailed, Refused.
    """
    scripts.checked_arguments(extra)
    with contextlib.ExitStack() as undo:
        roles = _roles(tree, undo)
        over_http = bootnames.HTTP_ROLES | bootnames.HTTP_ROLES_OPTIONAL | bootnames.HTTP_ROLES_ARM64
        over_tftp = bootnames.TFTP_ROLES | bootnames.TFTP_ROLES_ARM64
        http = {over_http[role]: file for role, file in roles.items() if role in over_http}
        hashed = {name: http[name] for name in BY_HASH if name in http}
        hashed[bootnames.TRUST] = made(trust_archive(server_key, server_url, rules))
        names = {name: bootnames.by_hash(name, file.tag) for name, file in hashed.items()}
        grub = made(scripts.grub_entry(place).encode(), TEXT)
        http |= hashed | {names[name]: _for_ever(file) for name, file in hashed.items()}
        http |= {
            bootnames.GRUB_CONFIG: grub,
            bootnames.IPXE_SCRIPT: made(scripts.ipxe_entry(place).encode(), TEXT),
            bootnames.LOCAL_SCRIPT: made(scripts.local_script().encode(), TEXT),
        }
        tftp = {over_tftp[role]: file for role, file in roles.items() if role in over_tftp}

        def boot(kernel: str, initrd: str) -> ClientBoot:
            # The settings go last: their extra files replace the boot image's.
            settings = (names[name] for name in (bootnames.SETTINGS,) if name in names)
            initrds = (names[bootnames.TRUST], names[initrd], *settings)
            return ClientBoot(place, names[kernel], initrds, server_url, extra)

        client = boot(bootnames.KERNEL, bootnames.INITRD)
        if bootnames.KERNEL_ARM64 in names:
            arm64 = boot(bootnames.KERNEL_ARM64, bootnames.INITRD_ARM64)
            client = replace(client, arm64=arm64)
        files = BootFiles(tftp | {bootnames.GRUB_CONFIG: grub}, http, close=undo.pop_all().close)
    return LoadedTree(files, client)


def made(data: bytes, media_type: str = BINARY) -> BootFile:
    """A file of bytes that we made, the same for everybody."""
    tag = digest(data).hex()
    return BootFile(len(data), lambda: io.BytesIO(data), tag, Caching.ASK_AGAIN, media_type)


def _for_ever(file: BootFile) -> BootFile:
    return BootFile(file.size, file.open, file.tag, Caching.FOR_EVER)


def prove_tree(tree: Path) -> int:
    """How many files the boot tree has, each read and as its table says.

    Raises NotFound, BadImage, DiskFailed.
    """
    with contextlib.ExitStack() as undo:
        return len(_roles(tree, undo))


def _roles(tree: Path, undo: contextlib.ExitStack) -> dict[str, BootFile]:
    entries = _entries(tree)
    arm64 = {*bootnames.TFTP_ROLES_ARM64, *bootnames.HTTP_ROLES_ARM64}
    needed = {*bootnames.TFTP_ROLES, *bootnames.HTTP_ROLES}
    missing = sorted((needed | arm64 if arm64 & set(entries) else needed) - set(entries))
    if missing:
        raise BadImage(f"the boot tree {tree} has no {', '.join(missing)}", hint=HINT)
    return {role: _file(tree, entry, undo) for role, entry in entries.items()}


def _entries(tree: Path) -> dict[str, Any]:
    try:
        value = json.loads((tree / TREE_FILE).read_text())
        if value["format"] != TREE_FORMAT:
            raise BadImage(f"the boot tree {tree} has format {value['format']}", hint=HINT)
        return dict(value["files"])
    except FileNotFoundError:
        raise NotFound(f"no boot tree in {tree}", hint=HINT) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadImage(f"the boot tree {tree} cannot be read: {error}", hint=HINT) from None


def _file(tree: Path, entry: Mapping[str, Any], undo: contextlib.ExitStack) -> BootFile:
    path = tree / str(entry["name"])
    try:
        held = HeldFile(path)
    except FileNotFoundError:
        raise BadImage(f"the boot tree {tree} has no {path.name}", hint=HINT) from None
    except OSError as error:
        raise DiskFailed(f"{path} cannot be read: {error.strerror}") from None
    undo.callback(held.close)
    if held.mark.size != entry["size"] or held.digest.hex() != entry["blake3"]:
        differs = "size" if held.mark.size != entry["size"] else "content"
        raise BadImage(
            f"{path} is not the file that {TREE_FILE} describes (its {differs} differs)", hint=HINT
        )
    return BootFile(held.mark.size, held.open, held.digest.hex(), Caching.ASK_AGAIN)
