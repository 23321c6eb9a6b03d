"""A folder as an initramfs: newc archive, zstd, equal folders give equal bytes."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import zstandard
from castcore import newc
from castcore.progress import Progress, ProgressCallback

# Most is compressed inside already (modules): 19 gains 6% over 9 and takes twenty times as long.
LEVEL = 9


def members(folder: Path) -> Iterator[newc.Member]:
    """Every directory, file and link below ``folder``, parents first, in one fixed order."""
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).parts):
        name = path.relative_to(folder).as_posix()
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield newc.symlink(name, str(path.readlink()))
        elif stat.S_ISDIR(mode):
            yield newc.directory(name)
        elif stat.S_ISREG(mode):
            yield newc.regular(name, path.read_bytes(), 0o755 if mode & stat.S_IXUSR else 0o644)


def write_initramfs(folder: Path, output: Path, *, progress: ProgressCallback) -> None:
    """Pack ``folder`` into the file ``output``, whole blocks long: another archive can follow it."""
    total = sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    compressor = zstandard.ZstdCompressor(level=LEVEL, threads=-1)
    done = 0
    with output.open("wb") as file, compressor.stream_writer(file, closefd=False) as packed:
        for piece in newc.archive(members(folder)):
            packed.write(piece)
            done += len(piece)
            # Headers count too, so `done` gets a little beyond the sum of the contents.
            if done < total:
                progress(Progress("pack", done, total))
    with output.open("ab") as file:
        file.write(b"\0" * (-file.tell() % newc.BLOCK))
    progress(Progress("pack", total, total))
