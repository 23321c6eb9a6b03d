"""A folder as an initramfs: newc archive, compressed once; equal folders give equal bytes."""

from __future__ import annotations

import lzma
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard
from castcore import newc
from castcore.progress import Progress, ProgressCallback

from castmedia.recipe import Packing

ZSTD_LEVEL = 19
# What the kernel's own decoder knows (lib/xz): no checks but CRC-32, the filter for x86 code. Its window
# comes on top of what is unpacked, and beyond 16 MiB gains nothing.
_XZ_FILTERS = [
    {"id": lzma.FILTER_X86},
    {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 16 << 20, "nice_len": 273},
]


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


def write_initramfs(
    folder: Path, output: Path, *, packing: Packing = Packing.ZSTD, progress: ProgressCallback
) -> None:
    """Pack ``folder`` into the file ``output``, whole blocks long: another archive can follow it."""
    total = sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    done = 0
    with output.open("wb") as file:
        write, finish = _compressor(packing, file)
        for piece in newc.archive(members(folder)):
            write(piece)
            done += len(piece)
            # Headers count too, so `done` gets a little beyond the sum of the contents.
            if done < total:
                progress(Progress("pack", done, total))
        finish()
        file.write(b"\0" * (-file.tell() % newc.BLOCK))
    progress(Progress("pack", total, total))


def _compressor(
    packing: Packing, file: BinaryIO
) -> tuple[Callable[[bytes], object], Callable[[], object]]:
    """What takes pieces, and what is called at the end."""
    if packing is Packing.XZ:
        xz = lzma.LZMACompressor(check=lzma.CHECK_CRC32, filters=_XZ_FILTERS)
        return lambda piece: file.write(xz.compress(piece)), lambda: file.write(xz.flush())
    writer = zstandard.ZstdCompressor(level=ZSTD_LEVEL, threads=-1).stream_writer(file, closefd=False)
    return writer.write, writer.close
