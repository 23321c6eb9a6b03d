"""The folders that images are cast from: the library, and more of them, network mounts too.

One that does not answer, or is gone, is told as such; the others and the console go on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from castcore.edge.image.imagefile import Image, ProvenSource
from castcore.edge.image.store import SUFFIX, Holdings, StoredImage, holdings, list_images
from castcore.errors import FleetcastError, Refused
from castcore.image import NAME
from castcore.image.storeddigests import StoredDigests

from castserver.images.patience import Patience

# The place of an image, as a cast may name it: `library/office`.
LIBRARY, MEDIUM = "library", "medium"
LIST_SECONDS = 3.0
OPEN_SECONDS = 20.0
READ_SECONDS = 20.0
T = TypeVar("T")
_LOCAL = frozenset(("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "vfat", "exfat", "ntfs3"))
_LOCAL |= {"tmpfs", "ramfs", "overlay", "squashfs"}
_SAY = "another folder of that name can be given by a symbolic link"


@dataclass(frozen=True, slots=True)
class Shelved:
    """An image and ``where`` it is: LIBRARY, the name of a further folder, or that of the deploy medium.

    ``cast_as`` is what a cast names it by; ``held`` what of it lies there, None for a damaged one.
    """

    image: StoredImage
    where: str
    cast_as: str = ""
    held: Holdings | None = None


@dataclass(frozen=True)
class Shelf:
    """One folder. Its calls raise DiskFailed, soon, when it does not answer."""

    name: str
    folder: Path
    patience: Patience = field(compare=False)

    def list(self, option: str = "--images") -> tuple[Shelved, ...]:
        """Every image by name, the damaged ones with their problem. Raises NotFound, DiskFailed."""

        def look() -> tuple[Shelved, ...]:
            return tuple(shelved(image, self.name) for image in list_images(self.folder, option))

        return self.patience.do(look, LIST_SECONDS)

    def changed(self) -> int:
        """When images came or went last: :func:`changed`; -1 when it does not answer."""
        try:
            return self.patience.do(lambda: changed(self.folder), LIST_SECONDS)
        except FleetcastError:
            return -1

    def has(self, name: str) -> bool:
        """Whether there is an image called ``name``. Raises DiskFailed."""
        return self.on(name, Path.is_dir, LIST_SECONDS)

    def on(self, name: str, work: Callable[[Path], T], seconds: float) -> T:
        """What ``work`` does with the path of the image called ``name``, in so many seconds at most."""
        path = self.folder / f"{name}{SUFFIX}"
        return self.patience.do(lambda: work(path), seconds)

    def open(self, name: str, kind: Callable[[Path], Image] = Image.open) -> Image:
        """The image called ``name``, opened by ``kind``. Raises BadImage, DiskFailed."""
        path = self.folder / f"{name}{SUFFIX}"
        return self.patience.do(lambda: kind(path), OPEN_SECONDS, Image.close)

    def open_to_check(self, name: str) -> Image:
        """As :meth:`open`; each of its reads takes a bounded time where it could take for ever."""
        if self._is_local():
            return self.open(name)
        return self.open(name, lambda path: _PatientImage(path, self.patience))

    def source(self, image: Image) -> ProvenSource:
        """Its chunks, proven; each within a bounded time where reading could take for ever."""
        return ProvenSource(image) if self._is_local() else _PatientSource(image, self.patience)

    def _is_local(self) -> bool:
        return self.patience.do(lambda: is_local(self.folder), LIST_SECONDS)


class _PatientImage(Image):
    """A check that waits for a chunk for ever would hold the server when it is to stop."""

    def __init__(self, path: Path, patience: Patience) -> None:
        super().__init__(path)
        self._patience = patience

    def read_stored(self, chunk: int) -> bytes:
        read = super().read_stored
        return self._patience.do(lambda: read(chunk), READ_SECONDS)

    def stored_digests(self) -> StoredDigests | None:
        return self._patience.do(super().stored_digests, READ_SECONDS)


class _PatientSource(ProvenSource):
    """A cast that waits for a chunk for ever would hold what other casts need."""

    def __init__(self, image: Image, patience: Patience) -> None:
        super().__init__(image)
        self._patience = patience

    def read_stored(self, chunk: int) -> bytes:
        read = super().read_stored
        return self._patience.do(lambda: read(chunk), READ_SECONDS)


def changed(folder: Path) -> int:
    """When a name in ``folder`` changed last, in ns since 1970; 0 when it is not there."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def shelved(image: StoredImage, where: str) -> Shelved:
    """An image of the folder called ``where``, with what it takes there."""
    name = image.path.name.removesuffix(SUFFIX)
    held = holdings(image.path, image.manifest) if image.manifest is not None else None
    return Shelved(image, where, name if where == LIBRARY else f"{where}/{name}", held)


def unreachable(shelf: Shelf, error: FleetcastError) -> Shelved:
    """In place of all images of a folder: what is wrong with it."""
    return Shelved(StoredImage(shelf.folder / f"*{SUFFIX}", None, error.what), shelf.name)


def further(folders: Sequence[Path]) -> tuple[Shelf, ...]:
    """Shelves of ``folders``, called as they are. Raises Refused when a name cannot tell one."""
    shelves: list[Shelf] = []
    for folder in folders:
        name = folder.name
        if not NAME.fullmatch(name) or name in (LIBRARY, MEDIUM):
            raise Refused(f"a folder of images cannot be called {name!r}: {folder}", hint=_SAY)
        if name in (shelf.name for shelf in shelves):
            raise Refused(f"two folders of images are called {name}", hint=_SAY)
        shelves.append(Shelf(name, folder, Patience(str(folder))))
    return tuple(shelves)


def is_local(folder: Path) -> bool:
    """Whether its file system is one of this machine's own disks or memory (proc_pid_mountinfo(5))."""
    real = Path(os.path.realpath(folder))
    kinds: dict[Path, str] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kinds[Path(left.split()[4].replace("\\040", " "))] = right.split()[0]
    return next((kinds[at] for at in (real, *real.parents) if at in kinds), "") in _LOCAL


def is_writable(folder: Path) -> bool:
    """Whether images can be written there; False where it does not answer."""
    try:
        return Patience(str(folder)).do(lambda: os.access(folder, os.W_OK | os.X_OK), LIST_SECONDS)
    except FleetcastError:
        return False
