"""The boot files of one interface: the PXE tree's, and those the server makes for each request."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from castcore.boot import BootPlace, bootnames, grub_config, ipxe_script, local_script, trust_archive
from castcore.errors import BadImage, NotFound

TREE_FILE = "tree.json"
TREE_FORMAT = 1
HINT = "make it with `media-builder pxe --output DIR`"


@dataclass(frozen=True)
class BootFile:
    """One file to serve: its size in bytes and a way to read it from the start."""

    size: int
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class BootFiles:
    """All that is served, by canonical name; nothing else exists for a client."""

    tftp: Mapping[str, BootFile]
    http: Mapping[str, BootFile]


def load(
    tree: Path,
    place: BootPlace,
    *,
    server_url: str,
    server_key: bytes,
    extra: str,
    rules: bytes = b"",
) -> BootFiles:
    """The files of the PXE ``tree`` with our scripts; ``rules`` is the clients' rule file, if any.

    Raises NotFound, BadImage, Refused.
    """
    roles = _roles(tree)
    grub = _made(grub_config(place, server_url, extra).encode())
    tftp = {name: roles[role] for role, name in bootnames.TFTP_ROLES.items()}
    http = {name: roles[role] for role, name in bootnames.HTTP_ROLES.items()}
    made = {
        bootnames.TRUST: _made(trust_archive(server_key, server_url, rules)),
        bootnames.GRUB_CONFIG: grub,
        bootnames.IPXE_SCRIPT: _made(ipxe_script(place, server_url, extra).encode()),
        bootnames.LOCAL_SCRIPT: _made(local_script().encode()),
    }
    return BootFiles(tftp=tftp | {bootnames.GRUB_CONFIG: grub}, http=http | made)


def _roles(tree: Path) -> dict[str, BootFile]:
    entries = _entries(tree)
    missing = sorted({*bootnames.TFTP_ROLES, *bootnames.HTTP_ROLES} - set(entries))
    if missing:
        raise BadImage(f"the boot tree {tree} has no {', '.join(missing)}", hint=HINT)
    return {role: _file(tree, entry) for role, entry in entries.items()}


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


def _file(tree: Path, entry: Mapping[str, Any]) -> BootFile:
    path = tree / str(entry["name"])
    size = path.stat().st_size if path.is_file() else -1
    if size != entry["size"]:
        raise BadImage(
            f"{path} is not the file that {TREE_FILE} describes (its size differs)", hint=HINT
        )
    return BootFile(size, lambda: path.open("rb"))


def _made(data: bytes) -> BootFile:
    return BootFile(len(data), lambda: io.BytesIO(data))
