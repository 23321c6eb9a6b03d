"""The boot images of this server: a directory of ISO, disk and floppy images, each under its name."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from castcore.boot import BootImage
from castcore.boot.bootimage import HEAD_BYTES, NAME, checked_name, form_of
from castcore.edge.image.store import sync_directory, writing_to
from castcore.errors import BadImage, DiskFailed, FleetcastError, InUse, NotFound

from castserver.services.steadyfile import FileMark

FOLDER = "boot-images"
_PARTIAL = ".partial-"
COPY_BYTES = 1 << 20
_LIST_HINT = "`fleetcast bootimages list` shows all, `add` takes one in"


@dataclass(frozen=True)
class StoredBootImage:
    """A file of the store; ``image`` is None and ``problem`` says why when nothing boots from it."""

    name: str
    size: int
    image: BootImage | None
    problem: str = ""


class BootImages:
    """The images in ``directory``, which need not exist while there are none."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def list(self) -> tuple[StoredBootImage, ...]:
        """Every file by name; those that are no boot images with their problem. Raises DiskFailed."""
        try:
            found = sorted(p.name for p in self.directory.iterdir() if NAME.fullmatch(p.name))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise DiskFailed(f"{self.directory} cannot be read: {error.strerror}") from None
        return tuple(self._stored(name) for name in found)

    def get(self, name: str) -> BootImage:
        """The image called ``name``. Raises NotFound, BadImage, DiskFailed."""
        return look_at(self.path(name), name)

    def path(self, name: str) -> Path:
        """Where the image called ``name`` is, or would be. Raises NotFound: no image has such a name."""
        if not NAME.fullmatch(name):
            raise NotFound(f"there is no boot image {name[:100]!r}", hint=_LIST_HINT)
        return self.directory / name

    def add(self, source: Path, name: str) -> BootImage:
        """Copy the file ``source`` in under ``name``: there whole, or not at all.

        Raises Refused, NotFound, BadImage, InUse (another has that name), NoSpace, DiskFailed.
        """
        look_at(source, source.name)
        target = self.directory / checked_name(name)
        with writing_to(self.directory, "another state directory"):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.sweep()
            with _beside(target) as (partial, copy):
                with source.open("rb") as given:
                    shutil.copyfileobj(given, copy, COPY_BYTES)
                copy.flush()
                os.fsync(copy.fileno())
                _name(partial, target)
            sync_directory(self.directory)
        return self.get(name)

    def sweep(self) -> None:
        """Remove what an `add` that was killed left behind; one that runs holds a lock on its file."""
        for left in self.directory.glob(f".*{_PARTIAL}*"):
            with contextlib.suppress(OSError), left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()

    def delete(self, name: str) -> None:
        """Remove the image called ``name``. Raises NotFound, DiskFailed."""
        try:
            self.path(name).unlink()
            sync_directory(self.directory)
        except FileNotFoundError:
            raise NotFound(f"there is no boot image {name!r}", hint=_LIST_HINT) from None
        except OSError as error:
            raise DiskFailed(f"{self.path(name)} cannot be removed: {error.strerror}") from None

    def _stored(self, name: str) -> StoredBootImage:
        try:
            image = self.get(name)
        except FleetcastError as error:
            return StoredBootImage(name, 0, None, error.what)
        return StoredBootImage(name, image.size, image)


def look_at(path: Path, name: str) -> BootImage:
    """What the boot image ``name`` in the file ``path`` is. Raises NotFound, BadImage, DiskFailed."""
    try:
        if not path.is_file():
            if path.exists():
                raise BadImage(f"{name} is no file", hint="copy the medium into a file first")
            raise NotFound(f"there is no boot image {str(name)!r}", hint=_LIST_HINT)
        with path.open("rb") as file:
            mark = FileMark.of(file.fileno())
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise DiskFailed(f"{path} cannot be read: {error.strerror}") from None
    return BootImage(name, mark.size, mark.changed, form_of(name, head, mark.size))


@contextmanager
def _beside(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    partial = target.with_name(f".{target.name}{_PARTIAL}{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as copy:
            fcntl.flock(copy, fcntl.LOCK_EX)
            yield partial, copy
    finally:
        partial.unlink(missing_ok=True)


def _name(partial: Path, target: Path) -> None:
    try:
        os.link(partial, target)  # unlike a rename it takes nobody's place
    except FileExistsError:
        raise InUse(
            f"there is a boot image {target.name} already",
            hint="give it another name, or delete that one first",
        ) from None
