"""The "newc" cpio archive, the form of every initramfs: pure, values in, bytes out.

Linux ``Documentation/driver-api/early-userspace/buffer-format.rst``. Owner is always root and the
time always the same, so that equal members make equal bytes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ALIGNMENT = 4
# Archives one after the other (GRUB and iPXE load several initrds so) stay aligned to a block.
BLOCK = 512
TRAILER = "TRAILER!!!"
# 2020-01-01: a date on which no certificate or file system of ours chokes.
FIXED_TIME = 1577836800
MOST_BYTES = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Member:
    """One directory, regular file or symbolic link (``data`` is then its target).

    ``name`` has no leading slash; ``mode`` holds type and permission bits as ``st_mode`` does.
    """

    name: str
    mode: int
    data: bytes = b""

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith("/") or "\0" in self.name:
            raise ValueError(f"not a member name: {self.name!r}")
        if len(self.data) > MOST_BYTES:
            raise ValueError(f"{self.name} has {len(self.data)} bytes, newc holds {MOST_BYTES}")


def directory(name: str, permissions: int = 0o755) -> Member:
    """A directory."""
    return Member(name, stat.S_IFDIR | permissions)


def regular(name: str, data: bytes, permissions: int = 0o644) -> Member:
    """A regular file holding ``data``."""
    return Member(name, stat.S_IFREG | permissions, data)


def symlink(name: str, target: str) -> Member:
    """A symbolic link to ``target``."""
    return Member(name, stat.S_IFLNK | 0o777, target.encode())


def archive(members: Iterable[Member]) -> Iterator[bytes]:
    """The archive of ``members`` in their order, piece by piece; the kernel wants parents first."""
    total = 0
    for number, member in enumerate(members, start=1):
        piece = _encode(number, member)
        total += len(piece)
        yield piece
    end = _encode(0, Member(TRAILER, 0))
    total += len(end)
    yield end + b"\0" * (-total % BLOCK)


def _encode(inode: int, member: Member) -> bytes:
    name = member.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(member.mode) else 1
    fields = (
        inode,
        member.mode,
        0,  # uid
        0,  # gid
        links,
        FIXED_TIME if inode else 0,
        len(member.data),
        0,  # device major
        0,  # device minor
        0,  # rdev major
        0,  # rdev minor
        len(name),
        0,  # checksum, unused in newc
    )
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _padded(header) + _padded(member.data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % ALIGNMENT)
