"""A store: a directory of images. An image is there complete, under its name, or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from castcore.errors import BadImage, DiskFailed, FleetcastError, NoSpace, NotFound, Refused
from castcore.image import MANIFEST_LIMIT, NAME, BorrowedPack, Manifest, pack_name, parse_manifest
from castcore.units import human

SUFFIX = ".fcast"
STORE_VARIABLE = "FLEETCAST_STORE"
DEFAULT_STORE = "/var/lib/fleetcast/images"
MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.sig"
INDEX_FILE = "index"
STORED_DIGESTS_FILE = "stored-digests"

# Where an image is being written (castcore.edge.image.partial).
PARTIAL = re.compile(r"\..+\.fcast\.partial-[a-z0-9_]{8}")


def default_store() -> Path:
    """The store that commands use when none is named."""
    return Path(os.environ.get(STORE_VARIABLE) or DEFAULT_STORE)


def image_path(image: str, store: Path) -> Path:
    """The directory of ``image``: a path (it has ``/`` or ``.fcast``), else a name in ``store``.

    Raises Refused for what cannot be an image's name.
    """
    if not image:
        raise Refused("an image needs a name")
    path = Path(image) if "/" in image or image.endswith(SUFFIX) else store / image
    path = path if path.name.endswith(SUFFIX) else path.parent / (path.name + SUFFIX)
    image_name(path)
    return path


def image_name(path: Path) -> str:
    """The name of the image at ``path``: its directory's, without the suffix. Raises Refused."""
    name = path.name.removesuffix(SUFFIX)
    if not NAME.fullmatch(name):
        raise Refused(
            f"{name!r} cannot be an image's name",
            hint="use letters, digits, '.', '_' and '-', at most 100, a letter or digit first",
        )
    return name


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image found in a store; ``manifest`` is None and ``problem`` says why when it is no good."""

    path: Path
    manifest: Manifest | None
    problem: str = ""

    @property
    def name(self) -> str:
        """The name it has in the store, whatever its manifest says."""
        return self.path.name.removesuffix(SUFFIX)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an image holds itself, in bytes of its packs, and what it borrows, from which images."""

    stored: int
    borrowed: int
    lenders: tuple[str, ...]


def holdings(path: Path, manifest: Manifest) -> Holdings:
    """What the image at ``path`` with that ``manifest`` holds there."""
    lent = lent_packs(path, manifest)
    borrowed = sum(pack.size for pack in lent)
    used = {piece.lender for pack in lent for piece in pack.pieces}
    names = tuple(manifest.lenders[number].name for number in sorted(used))
    return Holdings(sum(manifest.packs) - borrowed, borrowed, names)


def lent_packs(path: Path, manifest: Manifest) -> tuple[BorrowedPack, ...]:
    """The borrowed packs of the image at ``path`` whose bytes it has not itself, as a whole copy has."""
    return tuple(p for p in manifest.borrowed if not os.path.lexists(path / pack_name(p.number)))


def list_images(store: Path, option: str = "--store") -> tuple[StoredImage, ...]:
    """Every image of ``store`` by name, judged by its manifest.

    Raises NotFound: no such store; ``option`` is what names another on the command line.
    """
    try:
        found = sorted(p for p in store.iterdir() if p.name.endswith(SUFFIX) and p.name[0] != ".")
    except OSError as error:
        raise NotFound(
            f"no image store at {store}: {error.strerror}", hint=f"name it with {option} DIR"
        ) from None
    return tuple(_stored_image(p) for p in found if p.is_dir())


def _stored_image(path: Path) -> StoredImage:
    try:
        manifest = read_manifest(path)
    except FleetcastError as error:
        return StoredImage(path, None, error.what)
    lenders = holdings(path, manifest).lenders if manifest.borrowed else ()
    missing = [name for name in lenders if not (path.parent / f"{name}{SUFFIX}").is_dir()]
    if missing:
        return StoredImage(path, None, f"borrows from {', '.join(missing)}, which is not there")
    return StoredImage(path, manifest)


def read_manifest(path: Path) -> Manifest:
    """The manifest of the image at ``path``. Raises BadImage or DiskFailed."""
    return parse_manifest(read_file(path / MANIFEST_FILE, MANIFEST_LIMIT))


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of an image's small file, at most ``limit``. Raises BadImage or DiskFailed."""
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            # Python sets aside what is asked for before it reads: no more than there is.
            data = file.read(size + 1) if size <= limit else b""
    except FileNotFoundError:
        raise BadImage(f"{path.parent} is no complete image: it has no {path.name}") from None
    except OSError as error:
        raise DiskFailed(f"{path} cannot be read: {error.strerror}") from None
    if max(size, len(data)) > limit:
        raise BadImage(f"{path} is larger than the {limit} bytes it may have")
    return data


def open_plain(path: Path, *, links: bool = False) -> BinaryIO:
    """The plain file ``path`` for reading, as :func:`plain_descriptor` opens it. Raises OSError."""
    return os.fdopen(plain_descriptor(path, links=links), "rb")


def plain_descriptor(path: Path, *, links: bool = False) -> int:
    """The plain file ``path``, open for reading; ``links``: or what a symbolic link leads to.

    What a stick calls so may be a FIFO, which nobody writes to, or lead to a device of this machine:
    neither is waited for. Raises OSError.
    """
    if not links and path.is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link")
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no plain file")
    return fd


@contextmanager
def writing_to(path: Path, instead: str = "another store") -> Iterator[None]:
    """Turn an OSError into NoSpace (with both figures) or DiskFailed that names ``path``.

    ``instead`` is what the operator may choose in its place.
    """
    try:
        yield
    except OSError as error:
        require_space(error, path, instead)
        raise DiskFailed(f"{path} cannot be written: {error.strerror or error}") from None


def require_space(error: OSError, path: Path, instead: str) -> None:
    """Raise NoSpace, telling to choose ``instead``, when ``error`` says that ``path`` is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        # Where an image is being written is no name that anybody knows.
        known = next((p.parent for p in (path, *path.parents) if PARTIAL.fullmatch(p.name)), path)
        raise NoSpace(
            f"{known} is full: {_sizes(known)}", hint=f"free some space, or choose {instead}"
        ) from None


def free_space(path: Path) -> int:
    """Bytes that may still be written to the file system of ``path``."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def _sizes(path: Path) -> str:
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return "its size cannot be read"
    return f"{human(usage.free)} free of {human(usage.total)}"


def sync_directory(path: Path) -> None:
    """Make the names in directory ``path`` durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
