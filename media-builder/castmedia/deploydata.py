"""The data partition of a deploy medium: made, and filled with images, licences and the PXE tree.

An image or licence is there complete or not at all, and what was written is read from the medium again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from castcore.disk import Extent
from castcore.edge.disk.loopdevice import writable_loop
from castcore.edge.image.copying import copy_image
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import SUFFIX, image_name, sync_directory, writing_to
from castcore.edge.image.verify import verify_image
from castcore.edge.medium.mounting import mounted
from castcore.edge.run import ProgramFailed, run
from castcore.errors import BadImage, DiskFailed, FleetcastError, NotFound, Refused
from castcore.licence import MOST_BYTES, open_licence
from castcore.licence import SUFFIX as SUFFIX_OF_LICENCES
from castcore.medium import IMAGES, LICENCES, MEDIUM_FILE, PXE_TREE, DataFileSystem, MediumInfo
from castcore.progress import ProgressCallback

from castmedia import pxe
from castmedia.settingsoptions import Choices
from castmedia.stages import Stages
from castmedia.tree import TreeFile

LABEL = "FLEETDATA"
SECONDS = 600.0
_MAKE = {
    # Nothing is kept for root, and what was there is forgotten by the flash.
    DataFileSystem.EXT4: ["mkfs.ext4", "-q", "-F", "-m", "0", "-L", LABEL],
    DataFileSystem.EXFAT: ["mkfs.exfat", "-L", LABEL],
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What is put on a medium: images by their directories, licences by their files.

    ``replace``: those of the same name that are other ones give way.
    """

    images: tuple[Path, ...] = ()
    licences: tuple[Path, ...] = ()
    replace: bool = False

    @property
    def size(self) -> int:
        """About the bytes that they need."""
        return sum(file.stat().st_size for image in self.images for file in _files(image))


def checked(images: Sequence[Path], licences: Sequence[Path], *, replace: bool) -> Contents:
    """The contents, every one of them looked at.

    Raises NotFound, BadImage, DiskFailed, Refused, Untrusted (a licence file that was changed).
    """
    for path in images:
        with Image.open(path):
            pass
    for path in licences:
        if path.suffix != SUFFIX_OF_LICENCES:
            raise Refused(f"{path.name} is no licence file: those are called NAME{SUFFIX_OF_LICENCES}")
        open_licence(_licence(path))
    for paths in (images, licences):
        names = [p.name for p in paths]
        if len(set(names)) < len(names):
            raise Refused(f"two of {', '.join(names)} have one name", hint="rename one of them")
    return Contents(tuple(images), tuple(licences), replace)


def programs(filesystem: DataFileSystem) -> tuple[str, ...]:
    """The programs that making a data partition needs."""
    return (_MAKE[filesystem][0], "losetup", "mount", "umount", "blkid")


@contextmanager
def made_anew(path: str, extent: Extent, filesystem: DataFileSystem) -> Iterator[Path]:
    """Where the new, empty file system in ``extent`` of ``path`` is mounted. Raises DiskFailed."""
    with writable_loop(path, extent, direct=True) as device:
        try:
            run([*_MAKE[filesystem], device], timeout=SECONDS)
        except ProgramFailed as error:
            raise DiskFailed(f"{path}: no file system can be made on it: {error.what}") from None
        with mounted(device, filesystem, writable=True) as root:
            yield root


@contextmanager
def named_after(path: str, root: Path) -> Iterator[None]:
    """Errors name the medium ``path`` rather than where it is mounted just now."""
    try:
        yield
    except FleetcastError as error:
        error.what = error.what.replace(str(root), f"{path}:")
        error.args = (error.what,)
        raise


def fill(
    root: Path,
    info: MediumInfo,
    contents: Contents,
    made: Stages,
    choices: Choices,
    progress: ProgressCallback,
) -> tuple[str, ...]:
    """Put ``contents`` and the PXE tree below ``root``; return the names of the images copied.

    What is there already stays. Raises NoSpace, Refused (another image of that name, a link where none
    belongs), BadImage, DiskFailed, and what the stages raise.
    """
    _require_plain(root)
    with writing_to(root, "a larger stick"):
        for folder in (IMAGES, LICENCES):
            (root / folder).mkdir(exist_ok=True)
        _put(root / MEDIUM_FILE, info.encode())
    # Each machine that PXE-boots has an address of its own.
    settings = replace(choices.settings, address="", gateway="")
    tree = pxe.write(root / PXE_TREE, made, replace(choices, settings=settings))
    _prove_tree(root / PXE_TREE, tree.values())
    copied = [p for p in contents.images if _copy_image(p, root / IMAGES, contents, progress)]
    for path in contents.licences:
        _copy_licence(path, root / LICENCES, contents)
    return tuple(image_name(p) for p in copied)


def _require_plain(root: Path) -> None:
    """Return when all that is written to below ``root`` are folders and files, or not there.

    Through a link of a stranger's stick this host's own files would be written. Raises Refused,
    DiskFailed.
    """
    folders = [root / name for name in (IMAGES, LICENCES, PXE_TREE)]
    _require_kind([root / MEDIUM_FILE, *folders])
    for folder in folders:
        if folder.is_dir():
            with writing_to(folder, "a larger stick"):
                _require_kind(folder.iterdir())


def _require_kind(paths: Iterable[Path]) -> None:
    for path in paths:
        if os.path.lexists(path):
            kind = path.lstat().st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise Refused(
                    f"{path} is neither a file nor a folder",
                    hint="look what it is, and remove it; or make the medium anew: --erase",
                )


def _copy_image(path: Path, store: Path, contents: Contents, progress: ProgressCallback) -> bool:
    """Copy the image at ``path`` unless ``store`` has that very one (to replace: a whole one)."""
    with Image.open(path) as image:
        final = store / f"{image_name(path)}{SUFFIX}"
        if final.exists() and _is_copy(final, image, replace=contents.replace, progress=progress):
            return False
        copy_image(image, final, replace=contents.replace, progress=progress)
        return True


def _is_copy(final: Path, image: Image, *, replace: bool, progress: ProgressCallback) -> bool:
    """Whether the image at ``final`` is ``image``: by its manifest, to ``replace`` it by all it holds.

    Raises BadImage, DiskFailed when it is damaged and is not to be replaced.
    """
    try:
        with Image.open(final) as there:
            if there.manifest_bytes != image.manifest_bytes:
                return False
            if replace:
                verify_image(there, progress=progress)
    except (BadImage, DiskFailed) as error:
        if replace:
            return False
        error.hint = "have it replaced: --replace"
        raise
    return True


def _copy_licence(path: Path, folder: Path, contents: Contents) -> None:
    data, final = _licence(path), folder / path.name
    if final.exists() and final.read_bytes() != data and not contents.replace:
        raise Refused(
            f"the medium has another licence {path.name}",
            hint="rename it, or have it replaced: --replace",
        )
    with writing_to(final, "a larger stick"):
        _put(final, data)


def _put(path: Path, data: bytes) -> None:
    """Make ``path`` a file of ``data``, durably, whole or as it was."""
    if path.exists() and path.read_bytes() == data:
        return
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with partial.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    sync_directory(path.parent)
    if _from_medium(path) != data:
        raise _differs(path)


def _prove_tree(folder: Path, files: Iterable[TreeFile]) -> None:
    for file in files:
        path = folder / file.name
        _from_medium(path)
        if TreeFile.of(file.name, path) != file:
            raise _differs(path)


def _from_medium(path: Path) -> bytes:
    """The bytes of ``path``, which the kernel has to read anew."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()


def _differs(path: Path) -> DiskFailed:
    return DiskFailed(
        f"{path} does not read as it was written", hint="use another stick: this one may be worn out"
    )


def _licence(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)  # one more is told to be too long
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from None


def _files(image: Path) -> Iterator[Path]:
    return (p for p in image.iterdir() if p.is_file())
