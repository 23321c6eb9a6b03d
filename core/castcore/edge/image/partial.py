"""An image that is being written: a hidden directory of its store, which becomes the image or vanishes.

It is locked by its writer; what a killed writer left there is removed by the next one.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from castcore.edge.image.borrowers import claimed, require_replaceable
from castcore.edge.image.store import PARTIAL, SUFFIX, sync_directory, writing_to
from castcore.errors import Refused

_PARKED = re.compile(r"\.(.+\.fcast)\.replaced")
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
# What file systems answer that cannot exchange two names (NFS, old FAT).
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class Partial:
    """A locked hidden directory in a store: becomes an image by :meth:`publish`, else vanishes."""

    def __init__(self, store: Path, name: str, *, found: tuple[Path, int] | None = None) -> None:
        self._store = store
        with writing_to(store):
            self.path, self._lock = found or _locked_directory(store, name)

    @classmethod
    def adopt(cls, path: Path) -> Partial | None:
        """What a writer that has ended left at ``path``; None when it still writes, or it is gone."""
        lock = _lock(path)
        return None if lock is None else cls(path.parent, "", found=(path, lock))

    def leave(self) -> None:
        """Let it lie as it is, for somebody who adopts it."""
        os.close(self._lock)

    def __enter__(self) -> Partial:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """What is not published vanishes."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def publish(self, final: Path, *, replace: bool) -> None:
        """Make the directory the image ``final``, durably; an older image there goes only now.

        Raises Refused when ``final`` exists and is not to be replaced or others that may borrow from
        it cannot be read, InUse when others borrow from it; NoSpace, DiskFailed.
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
                with claimed(final):
                    require_replaceable(final)
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
        elif parked or PARTIAL.fullmatch(path.name):
            _remove_unlocked(path)


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


def _lock(path: Path) -> int | None:
    """The directory ``path`` locked; None when its writer lives, or it is no such directory."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_unlocked(path: Path) -> None:
    handle = _lock(path)
    if handle is not None:
        shutil.rmtree(path, ignore_errors=True)
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
