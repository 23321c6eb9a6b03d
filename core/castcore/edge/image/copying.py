"""Copying an image to another store: the same image, but whole where the first one borrows.

Manifest, index and signature are copied to the byte, so that the root is the same and whoever signed the
image has signed the copy. A borrowed pack becomes a file of the copy's own, put together of its pieces.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from castcore.edge.image.imagefile import Image
from castcore.edge.image.imagewriter import write_all, write_synced
from castcore.edge.image.newimage import new_image
from castcore.edge.image.store import (
    INDEX_FILE,
    MANIFEST_FILE,
    SIGNATURE_FILE,
    STORED_DIGESTS_FILE,
    free_space,
    read_file,
    writing_to,
)
from castcore.edge.image.verify import verify_image
from castcore.errors import BadImage, DiskFailed, NoSpace
from castcore.image import SIGNATURE_FILE_SIZE, pack_name
from castcore.progress import Progress, ProgressCallback, silent
from castcore.units import MIB, human


@dataclass(frozen=True, slots=True)
class Copied:
    """``bytes`` of packs that were copied, ``borrowed`` of them out of other images."""

    bytes: int
    borrowed: int


def copy_image(
    image: Image, final: Path, *, replace: bool = False, progress: ProgressCallback = silent
) -> Copied:
    """Make ``final`` a copy of ``image`` that needs no other one; complete or not at all.

    Every chunk is read back from the copy and proven. Raises Refused, InUse, NoSpace, BadImage (the
    image is damaged), DiskFailed (the copy does not read as it was written, too).
    """
    manifest = image.manifest
    goal = sum(manifest.packs)
    with new_image(final, replace=replace) as directory:
        _require_space(final.parent, goal + len(image.index_bytes) + len(image.manifest_bytes))
        done = 0
        for number in range(len(manifest.packs)):
            done = _copy_pack(image, number, directory / pack_name(number), done, progress)
        write_synced(directory / INDEX_FILE, image.index_bytes)
        if manifest.stored_digest:
            write_synced(directory / STORED_DIGESTS_FILE, image.stored_digests_bytes())
        write_synced(directory / MANIFEST_FILE, image.manifest_bytes)
        if image.signed_by is not None:
            signature = read_file(image.path / SIGNATURE_FILE, SIGNATURE_FILE_SIZE)
            write_synced(directory / SIGNATURE_FILE, signature)
        _prove(image, directory, progress)
    return Copied(goal, sum(pack.size for pack in image.borrowed))


def _copy_pack(image: Image, number: int, target: Path, done: int, progress: ProgressCallback) -> int:
    """Copy one pack into a new file, durably; return the bytes ``done`` so far with it."""
    goal = sum(image.manifest.packs)
    with writing_to(target), target.open("xb", buffering=0) as file:
        for start, length in image.packs.runs(number):
            at, end = start, start + length
            while at < end:
                data = image.packs.read(number, at, min(MIB, end - at))
                if not data:
                    path, offset = image.packs.place(number, at)
                    raise BadImage(f"{path} ends at byte {offset}: {image.path} has more there")
                write_all(file.fileno(), data)
                at += len(data)
                done += len(data)
                progress(Progress("copy", done, goal))
        os.fsync(file.fileno())
        # What proves the copy shall come from the medium.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return done


def _prove(image: Image, directory: Path, progress: ProgressCallback) -> None:
    with Image(directory) as copy:
        try:
            verify_image(copy, progress=progress)
        except BadImage as error:
            verify_image(image)  # if it is damaged itself, this names it
            raise DiskFailed(
                f"what was written to {directory.parent} does not read as written: {error.what}",
                hint="check that medium: it may be worn out, or smaller than it says",
            ) from None


def _require_space(store: Path, needed: int) -> None:
    free = free_space(store)
    if free < needed:
        total = shutil.disk_usage(store).total
        raise NoSpace(
            f"{store} has {human(free)} free of {human(total)}; the copy needs {human(needed)}",
            hint="free some space, or choose another store",
        )
