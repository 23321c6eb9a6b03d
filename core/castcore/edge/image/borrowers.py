"""Who borrows from whom in a store, and locks that keep it so while images come and go.

An image that others borrow from is neither removed nor replaced. What is being captured borrows
already, and no manifest tells: it holds a shared lock on its bases' directories.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.edge.image.store import SUFFIX, holdings, image_name, read_manifest
from castcore.errors import FleetcastError, InUse, NotFound, Refused


@dataclass(frozen=True, slots=True)
class Borrowers:
    """The names of the images that borrow; ``unknown``: of those that cannot be read, and so may."""

    names: tuple[str, ...]
    unknown: tuple[str, ...]


def borrowers(path: Path) -> Borrowers:
    """Which images of its store borrow from the image at ``path``. Raises NotFound: no such store."""
    name, names, unknown = image_name(path), [], []
    try:
        others = sorted(p for p in path.parent.iterdir() if _is_another(p, path))
    except OSError as error:
        raise NotFound(f"no image store at {path.parent}: {error.strerror}") from None
    for other in others:
        try:
            manifest = read_manifest(other)
        except FleetcastError:
            unknown.append(other.name)
        else:
            if name in holdings(other, manifest).lenders:
                names.append(other.name.removesuffix(SUFFIX))
    return Borrowers(tuple(names), tuple(unknown))


def _is_another(found: Path, path: Path) -> bool:
    return found.name.endswith(SUFFIX) and found.name[0] != "." and found.name != path.name


def require_unborrowed(path: Path) -> None:
    """Return when no image borrows from the one at ``path``. Raises InUse naming those that do."""
    found = borrowers(path).names
    if found:
        raise InUse(
            f"{path} is borrowed from by {', '.join(found)}: without it they could not be read",
            hint="delete those first; `fleetcast image copy` makes copies that need no other image",
        )


def require_replaceable(path: Path) -> None:
    """Return when surely no image borrows from the one at ``path``.

    Raises InUse naming those that do, Refused naming those that cannot be read.
    """
    require_unborrowed(path)
    unknown = borrowers(path).unknown
    if unknown:
        raise Refused(
            f"{path} stays: {', '.join(unknown)} cannot be read, and may borrow from it",
            hint="repair or delete those first, or choose another name",
        )


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Nobody removes or replaces the image at ``path`` within the block. Raises NotFound, InUse."""
    with _locked(path, fcntl.LOCK_SH):
        yield


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """The image at ``path`` is ours to remove or replace: nobody begins to borrow from it.

    Raises NotFound, and InUse when somebody just does.
    """
    with _locked(path, fcntl.LOCK_EX):
        require_unborrowed(path)
        yield


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise NotFound(
            f"no such image: {path}: {error.strerror}",
            hint="`fleetcast image list` shows a store's images",
        ) from None
    try:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                f"{path} is being captured on, replaced or deleted right now", hint="wait for that"
            ) from None
        except OSError:
            pass  # NFS cannot lock a directory
        if not _is_still(path, handle):
            raise InUse(f"{path} was replaced or deleted just now", hint="look what is there, try again")
        yield
    finally:
        os.close(handle)


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except OSError:
        return False
