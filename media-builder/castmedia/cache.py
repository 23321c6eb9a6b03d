"""A cache of build stages: each is a directory named by its inputs, whole or absent."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from castcore import canonical, trust
from castcore.edge.image.store import writing_to
from castcore.errors import FleetcastError, NoSpace

KEY_DIGITS = 20
# Both profiles of one recipe side by side; older inputs' stages are removed.
KEPT_PER_NAME = 2
PARTIAL = ".partial-"


class StageCache:
    """Finished stages below ``root``; used by one build at a time (see :meth:`locked`)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def locked(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the cache; calls ``waiting`` once when another build holds it, then waits for that.

        Raises NoSpace, DiskFailed.
        """
        with writing_to(self.root, "another --cache"):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / "lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._remove_partial()
            yield

    def stage(self, name: str, inputs: Any, make: Callable[[Path], None]) -> Path:
        """The directory of stage ``name`` for ``inputs`` (canonical JSON values), made if not there.

        ``make`` fills an empty directory; only when it returns does the stage come into being.
        Raises what ``make`` raises, and NoSpace for a full file system.
        """
        whole = self.root / f"{name}-{key(inputs)}"
        if whole.is_dir():
            os.utime(whole)
            return whole
        partial = self.root / f"{PARTIAL}{whole.name}"
        with writing_to(self.root, "another --cache"):
            partial.mkdir(mode=0o755)
        try:
            make(partial)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, OSError):
                raise _failure(self.root, error) from error
            raise
        # A power cut after the rename must not leave a stage with empty files.
        os.sync()
        partial.rename(whole)
        self._remove_old(name)
        return whole

    def forget(self, name: str) -> None:
        """Remove every stage ``name``, so that it is made anew."""
        for stage in self._stages(name):
            shutil.rmtree(stage)

    def _stages(self, name: str) -> list[Path]:
        found = [p for p in self.root.glob(f"{name}-*") if p.is_dir()]
        return sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)

    def _remove_old(self, name: str) -> None:
        for stage in self._stages(name)[KEPT_PER_NAME:]:
            shutil.rmtree(stage)

    def _remove_partial(self) -> None:
        for stage in self.root.glob(f"{PARTIAL}*"):
            shutil.rmtree(stage)


def key(inputs: Any) -> str:
    """The name of a stage's inputs: equal inputs, equal key."""
    return trust.digest(canonical.encode(inputs)).hex()[:KEY_DIGITS]


def files_digest(folder: Path, files: Iterable[Path]) -> str:
    """One digest over names (below ``folder``) and contents of ``files``."""
    table = {p.relative_to(folder).as_posix(): file_digest(p) for p in files}
    return trust.digest(canonical.encode(table)).hex()


def file_digest(path: Path) -> str:
    """BLAKE3 of one file's content, hex."""
    return trust.digest(path.read_bytes()).hex()


def _failure(root: Path, error: OSError) -> FleetcastError:
    if error.errno == errno.ENOSPC:
        return NoSpace(f"the file system of {root} is full", hint="free space, or give another --cache")
    return FleetcastError(f"the build in {root} failed: {error}")
