"""A writer of cpio archives in the ``newc`` form, the one that Linux unpacks as an initramfs.

Layout: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
Same files, same bytes: times and owners are zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from castcore import canonical

MAGIC = b"070701"
TRAILER = "TRAILER!!!"
DIRECTORY_MODE = 0o040755
FILE_MODE = 0o100644
# The initrd that follows must start on a 4-byte boundary; whole sectors also suit every loader.
BLOCK = 512
TRUST_FILE = "etc/fleetcast/trust.json"


def archive(files: Mapping[str, bytes]) -> bytes:
    """An archive of ``files`` (relative path -> content), each after the directories it needs."""
    out = bytearray()
    for inode, (name, mode, data) in enumerate(_entries(files), start=1):
        out += _entry(inode, name, mode, data)
    out += _entry(0, TRAILER, 0, b"")
    return bytes(_padded(out, BLOCK))


def trust_archive(key: bytes, url: str) -> bytes:
    """The initrd that tells the client whom to trust: the server's public ``key`` and its ``url``."""
    return archive({TRUST_FILE: canonical.encode({"key": key.hex(), "url": url})})


def _entries(files: Mapping[str, bytes]) -> Iterator[tuple[str, int, bytes]]:
    made: set[str] = set()
    for name in sorted(files):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{name} is not a path inside the archive")
        for folder in reversed(path.parents):
            if str(folder) != "." and str(folder) not in made:
                made.add(str(folder))
                yield str(folder), DIRECTORY_MODE, b""
        yield str(path), FILE_MODE, files[name]


def _entry(inode: int, name: str, mode: int, data: bytes) -> bytes:
    raw_name = name.encode() + b"\0"
    links = 2 if mode == DIRECTORY_MODE else 1
    # inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name length, checksum
    numbers = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(raw_name), 0)
    head = MAGIC + b"".join(b"%08X" % number for number in numbers) + raw_name
    return bytes(_padded(bytearray(_padded(bytearray(head), 4)) + data, 4))


def _padded(data: bytearray, multiple: int) -> bytearray:
    return data + bytes(-len(data) % multiple)
