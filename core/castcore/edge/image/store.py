"""A store: a directory of images. An image is there complete, under its name, or not at all.

What is being written lies in a hidden directory of the same store, locked by its writer; what a
killed writer left there is removed by the next one.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from castcore.errors import BadImage, DiskFailed, FleetcastError, NoSpace, NotFound, Refused
from castcore.image import MANIFEST_LIMIT, NAME, Manifest, parse_manifest
from castcore.units import human

SUFFIX = ".fcast"
STORE_VARIABLE = "FLEETCAST_STORE"
DEFAULT_STORE = "/var/lib/fleetcast/images"
MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.sig"
INDEX_FILE = "index"

_PARTIAL = re.compile(r"\..+\.fcast\.partial-[a-z0-9_]{8}")
_PARKED = re.compile(r"\.(.+\.fcast)\.replaced")
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
# What file systems answer that cannot exchange two names (NFS, old FAT).
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


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
        return StoredImage(path, parse_manifest(read_file(path / MANIFEST_FILE, MANIFEST_LIMIT)))
    except FleetcastError as error:
        return StoredImage(path, None, error.what)


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of an image's small file, at most ``limit``. Raises BadImage or DiskFailed."""
    try:
        with path.open("rb") as file:
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
        known = next((p.parent for p in (path, *path.parents) if _PARTIAL.fullmatch(p.name)), path)
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


class Partial:
    """A locked hidden directory in a store: becomes an image by :meth:`publish`, else vanishes."""

    def __init__(self, store: Path, name: str) -> None:
        self._store = store
        with writing_to(store):
            self.path, self._lock = _locked_directory(store, name)

    def __enter__(self) -> Partial:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def publish(self, final: Path, *, replace: bool) -> None:
        """Make the directory the image ``final``, durably; an older image there goes only now.

        Raises Refused when ``final`` exists and is not to be replaced; NoSpace, DiskFailed.
        """
        with writing_to(self._store):
            self.path.chmod(0o755)
            os.fsync(self._lock)
            try:
                self.path.rename(final)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if not replace:
                    raise exists(final) from None
                _exchange(self.path, final)
            sync_directory(self._store)


def exists(path: Path) -> Refused:
    """The error for an image that is already there."""
    return Refused(
        f"{path} exists already",
        hint="choose another name, or have it replaced: `fleetcast capture --replace`",
    )


def remove_stale(store: Path) -> None:
    """Remove what killed writers left in ``store``; nothing that is still being written."""
    for path in sorted(store.iterdir()):
        parked = _PARKED.fullmatch(path.name)
        if parked and not (store / parked[1]).exists():
            path.rename(store / parked[1])
        elif parked or _PARTIAL.fullmatch(path.name):
            _remove_unlocked(path)


def sync_directory(path: Path) -> None:
    """Make the names in directory ``path`` durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _locked_directory(store: Path, name: str) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=f".{name}{SUFFIX}.partial-", dir=store))
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # NFS cannot lock a directory; then nobody removes it either
                fcntl.flock(handle, fcntl.LOCK_EX)
            # Another capture may have taken it for a stale one before we held the lock.
            if path.exists():
                return path, handle
            os.close(handle)


def _remove_unlocked(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass  # its writer lives
    finally:
        os.close(handle)


def _exchange(new: Path, old: Path) -> None:
    """Swap two directories' names; the old image is left under the partial name, to be removed."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = (_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old))
    if libc.renameat2(*names, _RENAME_EXCHANGE) == 0:
        return
    number = ctypes.get_errno()
    if number not in _NO_EXCHANGE:
        raise OSError(number, os.strerror(number), str(old))
    # remove_stale() puts the old one back should we die between the two.
    parked = old.with_name(f".{old.name}.replaced")
    old.rename(parked)
    new.rename(old)
    shutil.rmtree(parked, ignore_errors=True)
