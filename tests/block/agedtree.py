"""Trees of files as a used file system has them, and what proves that one came back whole.

Thousands of files of uneven sizes with random contents (so that nothing compresses away), sparse files,
one of them larger than 4 GiB, hard links, symbolic links and extended attributes, as far as the file
system can hold them. The first files are partly deleted before the later ones are written.
"""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from castcore.units import GIB, KIB, MIB

SIZES = (0, 17, 700, 3000, 5000, 12_000, 40_000)
LARGE = 8
HUGE = "sparse-5g"
HUGE_SIZE = 5 * GIB
HUGE_PIECES = (0, 3 * GIB + 4096, 5 * GIB - 9000)
HUGE_PIECE = 8192


@dataclass(frozen=True)
class Kinds:
    """What a file system can hold beside plain files and folders; ``files`` is how many are made."""

    files: int = 2400
    sparse: bool = True
    links: bool = True
    attributes: bool = True


def fill(point: Path, kinds: Kinds) -> None:
    """Fill the folder ``point``, delete half of it, fill it again."""
    rng = random.Random(4)
    old = [*_files(point / "old", rng, kinds.files // 2), *_large(point / "large", rng)]
    os.sync()
    for path in old[::2]:
        path.unlink()
    new = _files(point / "new", rng, kinds.files - kinds.files // 2)
    for path in new[::5]:
        path.unlink()
    kept = new[1]
    if kinds.links:
        for number in range(20):
            (point / f"link-{number}").symlink_to(f"new/{number}")
            os.link(kept, point / f"hard-{number}")
    if kinds.attributes:
        for number, path in enumerate(new[1:200:5]):
            os.setxattr(path, "user.note", rng.randbytes(20 + number * 20))
    if kinds.sparse:
        with (point / "sparse").open("wb") as file:
            for at in range(0, 64 * MIB, 8 * MIB):
                file.seek(at)
                file.write(rng.randbytes(5000))
            file.truncate(80 * MIB)
        with (point / HUGE).open("wb") as file:
            for at in HUGE_PIECES:
                file.seek(at)
                file.write(rng.randbytes(HUGE_PIECE))
            file.truncate(HUGE_SIZE)


def _files(folder: Path, rng: random.Random, count: int) -> list[Path]:
    folder.mkdir()
    paths = []
    for number in range(count):
        below = folder / f"d{number % 17}"
        below.mkdir(exist_ok=True)
        path = below / f"file-{number}.bin"
        path.write_bytes(rng.randbytes(rng.choice(SIZES)))
        paths.append(path)
    return paths


def _large(folder: Path, rng: random.Random) -> list[Path]:
    folder.mkdir()
    paths = []
    for number in range(LARGE):
        path = folder / f"large-{number}"
        path.write_bytes(rng.randbytes(rng.randrange(512 * KIB, 3 * MIB)))
        paths.append(path)
    return paths


def tree_hash(point: Path) -> str:
    """One digest over names, modes, owners, links, attributes and contents of all below ``point``."""
    total = hashlib.blake2b()
    for path in sorted(point.rglob("*")):
        for field in _facts(path):
            total.update(repr(field).encode())
    return total.hexdigest()


def count_files(point: Path) -> int:
    return sum(1 for path in point.rglob("*") if path.is_file())


def _facts(path: Path) -> Iterator[object]:
    status = path.lstat()
    yield os.fsencode(path.name), oct(status.st_mode), status.st_uid, status.st_nlink
    if stat.S_ISLNK(status.st_mode):
        yield os.readlink(path)
    if stat.S_ISREG(status.st_mode):
        yield status.st_size, int(status.st_mtime), _digest(path)
        yield sorted((name, os.getxattr(path, name)) for name in _attributes(path))


def _attributes(path: Path) -> list[str]:
    try:
        return [name for name in os.listxattr(path) if name.startswith("user.")]
    except OSError:
        return []


def _digest(path: Path) -> str:
    digest = hashlib.blake2b()
    with path.open("rb") as file:
        if path.name == HUGE:  # what lies between would be gigabytes of zeros
            for at in HUGE_PIECES:
                file.seek(max(0, at - 4096))
                digest.update(file.read(HUGE_PIECE + 8192))
        else:
            while data := file.read(MIB):
                digest.update(data)
    return digest.hexdigest()
