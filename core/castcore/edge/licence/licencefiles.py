"""Licence files in a directory, and the keys that sign them."""

from __future__ import annotations

import os
from pathlib import Path

from castcore.edge.image.imagewriter import write_synced
from castcore.edge.image.store import open_plain, sync_directory, writing_to
from castcore.errors import DiskFailed, InUse, NotFound, Untrusted
from castcore.licence import MOST_BYTES, SUFFIX
from castcore.trust import KEY_SIZE, SigningKey

# More are not looked at: a ledger takes fewer.
MOST_FILES = 1000


def licence_files(directory: Path | None) -> list[tuple[Path, bytes]]:
    """The licence files in ``directory`` (None, or there is none: none) with their bytes, by name.

    Raises DiskFailed.
    """
    if directory is None or not directory.is_dir():
        return []
    try:
        found = sorted(directory.glob(f"*{SUFFIX}"))[:MOST_FILES]
        return [(path, read_licence(path, links=False)) for path in found]
    except OSError as error:
        raise DiskFailed(f"{directory} cannot be read: {error.strerror}") from None


def read_licence(path: Path, *, links: bool = True) -> bytes:
    """The bytes of a licence file; of anything longer than one, too few. ``links``: or of a link to one.

    Raises NotFound, DiskFailed.
    """
    try:
        with open_plain(path, links=links) as file:
            return file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no licence file {path}") from None
    except OSError as error:
        raise DiskFailed(f"{path} cannot be read: {error.strerror}") from None


def write_licence(path: Path, data: bytes) -> None:
    """Write a new licence file, complete or not at all. Raises InUse, NoSpace, DiskFailed."""
    if path.exists():
        raise InUse(f"{path} is there already", hint="choose another name")
    part = path.with_name(path.name + ".part")
    with writing_to(path.parent):
        part.unlink(missing_ok=True)
        write_synced(part, data)
        part.replace(path)
        sync_directory(path.parent)


def issuer_key(path: Path) -> SigningKey:
    """The issuer's private key in the file ``path``. Raises NotFound, DiskFailed, Untrusted."""
    try:
        seed = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(
            f"there is no key {path}", hint="`fleetcast licence key FILE` makes one"
        ) from None
    except OSError as error:
        raise DiskFailed(f"{path} cannot be read: {error.strerror}") from None
    if len(seed) != KEY_SIZE:
        raise Untrusted(f"{path} holds {len(seed)} bytes, a key has {KEY_SIZE}")
    return SigningKey(seed)


def make_issuer_key(path: Path) -> SigningKey:
    """A new private key in the new file ``path``, its owner's alone. Raises InUse, DiskFailed."""
    key = SigningKey.generate()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise InUse(
            f"{path} is there already", hint="a key that was lost cannot be made again"
        ) from None
    except OSError as error:
        raise DiskFailed(f"{path} cannot be made: {error.strerror}") from None
    with os.fdopen(handle, "wb") as file:
        file.write(key.seed)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)
    return key
