"""Reads files out of a finished boot image, so that a medium can be asked what is in it."""

from __future__ import annotations

import lzma
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

import zstandard
from castcore.errors import BadImage, NotFound

from castmedia.modalias import Alias, AliasTable, parse_aliases, parse_builtin

TABLES = ("modules.alias", "modules.builtin.modinfo")
# newc (Linux driver-api/early-userspace/buffer-format.rst): magic, thirteen fields of 8 digits.
_HEADER, _FIELDS, _MAGIC, _ALIGN = 110, 13, b"070701", 4
_TRAILER = "TRAILER!!!"
# An unpacked image is some hundred megabytes; what claims to be more is none of ours.
_MOST_BYTES = 1 << 30
_PACKINGS = {b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def alias_table(initrd: Path, more: Iterable[Alias] = ()) -> AliasTable:
    """The devices that the boot image in the file ``initrd`` has drivers for, and those of ``more``.

    Raises as :func:`read`.
    """
    found = read(initrd, TABLES)
    if TABLES[0] not in found:
        raise BadImage(f"{initrd} has no kernel modules: it is no boot image of ours")
    builtin = parse_builtin(found.get(TABLES[1], b""))
    return AliasTable((*parse_aliases(found[TABLES[0]].decode(errors="replace")), *builtin, *more))


def read(initrd: Path, names: Collection[str]) -> dict[str, bytes]:
    """The files of ``initrd`` whose last name is one of ``names``.

    Raises NotFound (no such file), BadImage (not an initramfs, or a damaged one).
    """
    if not initrd.is_file():
        raise NotFound(f"there is no boot image {initrd}", hint="media-builder pxe makes one")
    try:
        data = _unpacked(initrd)
        return {
            PurePosixPath(n).name: body for n, body in _members(data) if PurePosixPath(n).name in names
        }
    except (lzma.LZMAError, zstandard.ZstdError, ValueError, EOFError) as error:
        raise BadImage(f"{initrd} is no boot image: {error}") from None


def _unpacked(initrd: Path) -> bytes:
    packed = initrd.read_bytes()
    packing = next((name for magic, name in _PACKINGS.items() if packed.startswith(magic)), "")
    if packing == "xz":
        unpacked = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed, _MOST_BYTES)
    elif packing == "zstd":
        unpacked = zstandard.ZstdDecompressor().stream_reader(packed).read(_MOST_BYTES)
    else:
        raise ValueError("neither xz nor zstd")
    return unpacked


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of each regular member."""
    at = 0
    while True:
        if data[at : at + len(_MAGIC)] != _MAGIC:
            raise ValueError(f"no newc header at byte {at}")
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(_FIELDS)]
        size, name_size = fields[6], fields[11]
        name = data[at + _HEADER : at + _HEADER + name_size - 1].decode(errors="replace")
        if name == _TRAILER:
            return
        start = _aligned(at + _HEADER + name_size)
        yield name, data[start : start + size]
        at = _aligned(start + size)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN
